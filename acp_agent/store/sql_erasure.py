"""Statements of `store.erasure`, by the rules of `store.sql`."""

LIFE = """
SELECT s.kind, COALESCE(r.status, b.status, l.status), r.landed, r.commit_sha, s.owner, s.lease_until
FROM acp_stream s LEFT JOIN acp_run r ON r.id = s.id LEFT JOIN acp_batch b ON b.id = s.id
    LEFT JOIN acp_loop l ON l.id = s.id
WHERE s.id = :id AND s.tenant = :tenant"""

PAYLOADS = """
SELECT seq FROM acp_event
WHERE stream_id = :id AND tenant = :tenant AND data <> '' AND type <> 'payload_erased' ORDER BY seq"""

ERASE_PAYLOADS = """
UPDATE acp_event SET data = ''
WHERE stream_id = :id AND tenant = :tenant AND data <> '' AND type <> 'payload_erased'"""

FORGET_RUN = """
UPDATE acp_run SET title = '', prompt = '', message = '', last_text = '', root = '', branch = NULL, worktree = NULL,
    path = NULL
WHERE id = :id"""

FORGET_BATCH = "UPDATE acp_batch SET prompt = '', options = '{}' WHERE id = :id"

# Without its name too: the newest loop of a name is the one that goes on.
FORGET_LOOP = (
    "UPDATE acp_loop SET name = '', goal = '', message = '', last_text = '', root = '', branch = NULL WHERE id = :id"
)

FORGET_SESSION = "UPDATE acp_session SET title = '', cwd = '', deleted = TRUE WHERE id = :id"

FORGET_TITLE = """
UPDATE acp_session SET title = '' WHERE id = (SELECT session_id FROM acp_run WHERE id = :id AND session_id <> '')"""
