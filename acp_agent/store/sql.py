"""Every statement of the hot path and of the fast commands, as constants with named parameters.

The same text for SQLite and PostgreSQL, but for `NOW`. A test runs each against the catalogue's tables. Values are
never put into the text.
"""

NOW = "SELECT (julianday('now') - 2440587.5) * 86400.0"
"""The time of the database, Unix seconds; the one statement that is SQLite's alone."""

# Streams and events

NEW_STREAM = """
INSERT INTO acp_stream (id, tenant, kind, seq, fence, takeovers, seq_at_claim)
VALUES (:id, :tenant, :kind, :seq, 0, 0, 0)"""

ADVANCE_OWNED = """
UPDATE acp_stream
SET seq = seq + :count, lease_until = :until, owner = CASE WHEN :over THEN NULL ELSE owner END
WHERE id = :id AND fence = :fence AND owner IS NOT NULL RETURNING seq"""
"""The fence check: no row comes back to a driver that has lost the stream."""

OPENED = "SELECT id FROM acp_stream WHERE id IN (:ids)"

DRIVEN = "SELECT id, seq, fence FROM acp_stream WHERE owner IS NOT NULL AND id IN (:ids)"
"""For many ids: see `among`."""

ADVANCE_TO = """
UPDATE acp_stream SET seq = :seq, lease_until = :until, owner = CASE WHEN :over THEN NULL ELSE owner END
WHERE id = :id"""
"""For a driver whose fence was looked at in the same transaction."""

ADVANCE = "UPDATE acp_stream SET seq = seq + :count WHERE id = :id RETURNING seq"

STREAM = """
SELECT s.kind, COALESCE(r.status, b.status) FROM acp_stream s
LEFT JOIN acp_run r ON r.id = s.id LEFT JOIN acp_batch b ON b.id = s.id
WHERE s.id = :id AND s.tenant = :tenant"""

STREAMS = "SELECT id FROM acp_stream WHERE tenant = :tenant AND kind = :kind ORDER BY id"

NEW_EVENT = """
INSERT INTO acp_event (
    position, stream_id, seq, tenant, ts, v, type, actor, tokens_in, tokens_out, cost, payload_hash, digest, data)
VALUES (
    :position, :stream_id, :seq, :tenant, :ts, :v, :type, :actor, :tokens_in, :tokens_out, :cost, :payload_hash,
    :digest, :data)"""

EVENTS = """
SELECT stream_id, seq, ts, v, tenant, actor, type, data FROM acp_event
WHERE stream_id IN (:ids) AND seq > :after AND tenant || '' = :tenant ORDER BY stream_id, seq"""
"""For many ids: see `among`. The tenant is no plain column here, or SQLite reads all of its rows to find some."""

CANCELLATION = "SELECT 1 FROM acp_event WHERE stream_id = :id AND type = 'cancel_asked' LIMIT 1"

HOLD_FACTS = """
SELECT type, ts, actor, data FROM acp_event WHERE stream_id = 'hold' AND tenant = :tenant AND seq > COALESCE((
    SELECT MAX(seq) FROM acp_event WHERE stream_id = 'hold' AND tenant = :tenant AND type = 'hold_lifted'), 0)
ORDER BY seq"""
"""The facts of a hold that is on: none where nothing is held."""

ASKED = """
SELECT r.id, s.seq, COALESCE((
    SELECT MAX(g.ts) FROM acp_event g
    WHERE g.stream_id = r.id AND g.type = 'given_back' AND g.seq > e.seq), e.ts), e.data
FROM acp_run r JOIN acp_stream s ON s.id = r.id JOIN acp_event e ON e.stream_id = s.id AND e.seq = (
    SELECT p.seq FROM acp_event p WHERE p.stream_id = r.id AND p.type IN ('parked', 'notify_started')
    ORDER BY p.seq DESC LIMIT 1)
WHERE r.tenant = :tenant AND r.status = 'waiting' AND r.waiting_for = 'approval' AND e.data <> ''"""
"""What waiting runs asked last, or the step that is under way for it; since when, or since a person gave it back."""

UNTOLD = """
SELECT r.id, s.seq FROM acp_run r JOIN acp_stream s ON s.id = r.id
WHERE r.tenant = :tenant AND r.status = 'waiting' AND r.waiting_for IN (:ids) AND COALESCE((
    SELECT p.type FROM acp_event p WHERE p.stream_id = r.id AND p.type IN ('parked', 'notify_started', 'payload_erased')
    ORDER BY p.seq DESC LIMIT 1), '') = 'parked'"""
"""Runs that wait for something of which nobody has been told since."""

# The audit chain

NEW_HEAD = "INSERT INTO acp_chain (tenant, position, digest) VALUES (:tenant, 0, :digest)"

MOVE_HEAD = "UPDATE acp_chain SET position = :position, digest = :digest WHERE tenant = :tenant"

LINKS = """
SELECT position, stream_id, seq, tenant, ts, v, type, actor, tokens_in, tokens_out, cost, payload_hash, digest, data
FROM acp_event WHERE tenant = :tenant AND position > :after ORDER BY position"""

CHAIN_HEAD = "SELECT position, digest FROM acp_chain WHERE tenant = :tenant"

POSITION_SINCE = "SELECT MIN(position) FROM acp_event WHERE tenant = :tenant AND ts >= :since"

ANCHOR_AT = "SELECT position, digest FROM acp_event WHERE tenant = :tenant AND position = :position"

SHORT_STREAM = """
SELECT s.id, s.seq FROM acp_stream s
WHERE s.tenant = :tenant AND s.seq <> (SELECT COUNT(*) FROM acp_event e WHERE e.stream_id = s.id)
ORDER BY s.id LIMIT 1"""

# Erasing

ERASURE = "SELECT data FROM acp_event WHERE stream_id = :id AND type = 'payload_erased' ORDER BY seq DESC LIMIT 1"

STREAMS_SAYING = """
SELECT DISTINCT s.kind, s.id FROM acp_event e JOIN acp_stream s ON s.id = e.stream_id
WHERE e.tenant = :tenant AND e.type <> 'payload_erased' AND e.data LIKE :pattern ESCAPE '!' ORDER BY s.id"""

BELOW = """
SELECT id FROM acp_run WHERE tenant = :tenant AND (batch_id = :id OR session_id = :id)
UNION SELECT id FROM acp_loop WHERE tenant = :tenant AND parent = :id ORDER BY 1"""

# Coming back from a backup

RAISE_FENCES = "UPDATE acp_stream SET fence = fence + :by, owner = NULL, lease_until = NULL"

NOT_OVER = "SELECT COUNT(*) FROM acp_run WHERE status <> 'ended'"

# Runs, batches, sessions

NEW_RUN = """
INSERT INTO acp_run (
    id, tenant, session_id, batch_id, position, project, role, title, prompt, status, message, model, steps, tool_calls,
    tokens_in, tokens_out, cost, cost_known, branch, worktree, root, files, added, removed, last_type, last_text,
    created_at, updated_at, queue)
VALUES (
    :id, :tenant, :session_id, :batch_id, :position, :project, :role, :title, :prompt, 'queued', '', :model, 0, 0,
    0, 0, 0, TRUE, :branch, :worktree, :root, 0, 0, 0, 'run_started', :last_text,
    :now, :now, :queue)"""

CHANGE_RUN = """
UPDATE acp_run SET
    status = COALESCE(:status, status),
    waiting_for = NULLIF(COALESCE(:waiting_for, waiting_for), ''),
    reason = COALESCE(:reason, reason),
    message = COALESCE(:message, message),
    model = COALESCE(:model, model),
    steps = steps + :steps,
    tool_calls = tool_calls + :tool_calls,
    tokens_in = tokens_in + :tokens_in,
    tokens_out = tokens_out + :tokens_out,
    cost = cost + :cost,
    cost_known = cost_known AND :cost_known,
    path = COALESCE(:path, path),
    commit_sha = COALESCE(:commit_sha, commit_sha),
    files = COALESCE(:files, files),
    added = COALESCE(:added, added),
    removed = COALESCE(:removed, removed),
    landed = COALESCE(:landed, landed),
    last_type = COALESCE(:last_type, last_type),
    last_text = COALESCE(:last_text, last_text),
    updated_at = :now,
    ended_at = COALESCE(:ended_at, ended_at)
WHERE id = :id"""

RUN_GOES_ON = """
UPDATE acp_run SET
    model = COALESCE(:model, model),
    steps = steps + :steps,
    tool_calls = tool_calls + :tool_calls,
    tokens_in = tokens_in + :tokens_in,
    tokens_out = tokens_out + :tokens_out,
    cost = cost + :cost,
    last_type = COALESCE(:last_type, last_type),
    last_text = COALESCE(:last_text, last_text),
    updated_at = :now
WHERE id = :id"""
"""What most facts change: a third of the work, and no index of the table has any of it."""

RUN_IS_DRIVEN = "UPDATE acp_run SET status = 'running', updated_at = :now WHERE id = :id"

GIVE_BACK = """
UPDATE acp_run SET status = CASE WHEN waiting_for IS NULL THEN 'queued' ELSE 'waiting' END, updated_at = :now
WHERE id = :id AND status = 'paused'"""
"""A run that waited for an answer when a person took it waits for that again."""

HANDED = """
SELECT type FROM acp_event WHERE stream_id = :id AND type IN ('taken', 'given_back') ORDER BY seq DESC LIMIT 1"""
"""Whether a person has a run: the last of these facts says."""

RUN_IS_FREE = "UPDATE acp_run SET status = 'queued', updated_at = :now WHERE id = :id AND status = 'running'"

NEW_BATCH = """
INSERT INTO acp_batch (id, tenant, prompt, projects, options, status, created_at)
VALUES (:id, :tenant, :prompt, :projects, :options, 'running', :now)"""

END_BATCH = """
UPDATE acp_batch SET status = 'ended', exit_code = :exit_code, reason = :reason, ended_at = :now WHERE id = :id"""

BATCH_IS_DRIVEN = """
UPDATE acp_batch SET status = 'running', exit_code = NULL, reason = NULL, ended_at = NULL
WHERE id = :id AND status = 'ended'"""

OPEN_RUN_OF_BATCH = "SELECT 1 FROM acp_run WHERE batch_id = :id AND status <> 'ended' LIMIT 1"

OPEN_RUNS = "SELECT COUNT(*) FROM acp_run WHERE tenant = :tenant AND status IN ('queued', 'running')"

RUN_COUNTS = "SELECT status, COUNT(*) FROM acp_run WHERE tenant = :tenant GROUP BY status"

NEW_SESSION = """
INSERT INTO acp_session (id, tenant, cwd, title, deleted, created_at, updated_at)
VALUES (:id, :tenant, :cwd, :title, FALSE, :now, :now) ON CONFLICT (id) DO UPDATE SET updated_at = :now"""

CHANGE_SESSION = """
UPDATE acp_session SET title = COALESCE(:title, title), deleted = deleted OR :deleted, updated_at = :now
WHERE id = :id"""

RUNS_OF_SESSION = """
SELECT id FROM acp_run
WHERE session_id = :id AND tenant = :tenant AND last_type <> 'payload_erased' ORDER BY created_at, position, id"""

HEADS_OF_SESSIONS = """
SELECT r.session_id, r.id, s.seq FROM acp_run r JOIN acp_stream s ON s.id = r.id
WHERE r.session_id IN (:ids) AND r.tenant || '' = :tenant AND r.last_type <> 'payload_erased'
ORDER BY r.created_at, r.position, r.id"""

HEAD_OF_RUN = """
SELECT r.id, s.seq FROM acp_run r JOIN acp_stream s ON s.id = r.id
WHERE r.id = :id AND r.tenant = :tenant AND r.last_type <> 'payload_erased'"""

SESSIONS = """
SELECT s.id, s.cwd, s.title, s.updated_at FROM acp_session s JOIN acp_stream t ON t.id = s.id
WHERE t.kind = 'session' AND s.tenant = :tenant AND NOT s.deleted AND (:cwd IS NULL OR s.cwd = :cwd)
    AND (s.updated_at < :before OR (s.updated_at = :before AND s.id < :before_id))
ORDER BY s.updated_at DESC, s.id DESC LIMIT :limit"""

# Loops

NEW_LOOP = """
INSERT INTO acp_loop (
    id, tenant, name, place, project, parent, goal, status, message, iterations, max_iter, accepted, rejected, rotation,
    branch, root, last_text, created_at, updated_at)
VALUES (
    :id, :tenant, :name, :place, :project, :parent, :goal, 'running', '', 0, :max_iter, 0, 0, 0,
    :branch, :root, 'started', :now, :now)"""

CHANGE_LOOP = """
UPDATE acp_loop SET
    status = COALESCE(:status, status),
    waiting_for = NULLIF(COALESCE(:waiting_for, waiting_for), ''),
    reason = NULLIF(COALESCE(:reason, reason), ''),
    message = COALESCE(:message, message),
    iterations = iterations + :accepted + :rejected,
    max_iter = COALESCE(:max_iter, max_iter),
    accepted = accepted + :accepted,
    rejected = rejected + :rejected,
    rotation = COALESCE(:rotation, rotation),
    score = COALESCE(:score, score),
    landed = COALESCE(:landed, landed),
    last_text = COALESCE(:last_text, last_text),
    updated_at = :now,
    ended_at = CASE WHEN :status = 'ended' THEN :now WHEN :status IS NULL THEN ended_at ELSE NULL END
WHERE id = :id"""

LOOP_COLUMNS = """
SELECT l.id, l.name, l.place, l.project, l.parent, l.goal, l.status, l.waiting_for, l.reason, l.message, l.iterations,
    l.max_iter, l.accepted, l.rejected, l.rotation, l.score, l.branch, l.root, l.landed, l.last_text, l.created_at,
    l.updated_at, l.ended_at,
    (SELECT COALESCE(SUM(r.cost), 0) FROM acp_run r WHERE r.batch_id = l.id),
    (SELECT COUNT(*) FROM acp_run r WHERE r.batch_id = l.id AND NOT r.cost_known),
    (SELECT COALESCE(SUM(r.tokens_in + r.tokens_out), 0) FROM acp_run r WHERE r.batch_id = l.id),
    s.owner, s.lease_until
FROM acp_loop l JOIN acp_stream s ON s.id = l.id"""

LOOP = LOOP_COLUMNS + " WHERE l.tenant = :tenant AND l.id = :id"

LOOPS = LOOP_COLUMNS + " WHERE l.tenant = :tenant ORDER BY l.created_at DESC LIMIT :limit"

LOOPS_OF_NAME = (
    LOOP_COLUMNS
    + " WHERE l.tenant = :tenant AND l.name = :name AND (:place IS NULL OR l.place = :place) AND l.parent IS NULL"
    + " ORDER BY l.created_at DESC LIMIT :limit"
)

# Leases

OWNER = "SELECT owner FROM acp_stream WHERE id = :id AND tenant = :tenant AND lease_until >= :now"

OWNERS = "SELECT DISTINCT owner FROM acp_stream WHERE tenant = :tenant AND lease_until >= :now AND id IN (:ids)"

LEASES = """
SELECT s.id, s.kind, s.fence, s.owner, s.lease_until, s.takeovers, COALESCE(r.status, b.status),
    s.owner IS NOT NULL AND EXISTS (
        SELECT 1 FROM acp_event e
        WHERE e.stream_id = s.id AND e.seq > s.seq_at_claim AND e.type NOT IN ('resumed', 'late_result', 'passed_over'))
FROM acp_stream s LEFT JOIN acp_run r ON r.id = s.id LEFT JOIN acp_batch b ON b.id = s.id
WHERE s.tenant = :tenant AND s.id IN (:ids)"""
"""Who has them; the last column says whether whoever has one came further with it."""

TAKE = """
UPDATE acp_stream
SET fence = fence + 1, owner = :owner, lease_until = :until, takeovers = :takeovers, seq_at_claim = seq
WHERE id = :id"""

RENEW = "UPDATE acp_stream SET lease_until = :until WHERE id = :id"

LAST_SEQS = "SELECT id, seq FROM acp_stream WHERE id IN (:ids)"

RELEASE = """
UPDATE acp_stream SET owner = NULL, lease_until = NULL
WHERE id = :id AND fence = :fence AND owner IS NOT NULL RETURNING seq"""

CLAIMABLE = """
SELECT r.created_at, r.position, r.id, s.owner, s.lease_until FROM acp_run r JOIN acp_stream s ON s.id = r.id
WHERE r.tenant = :tenant AND r.status = :status
ORDER BY r.created_at, r.position LIMIT :limit"""
"""For one status, so that an index gives the first ones without a look at all that wait behind them."""

CLAIMABLE_OF_QUEUES = CLAIMABLE.replace("ORDER", "AND r.queue IN (:ids) ORDER")

CLAIMABLE_OF_BATCH = CLAIMABLE.replace("ORDER", "AND r.batch_id = :batch_id ORDER")

# Money

# The cap of a day or month stands under that name; the largest number there is means none.
RESERVE = """
UPDATE acp_budget SET reserved = reserved + :amount
WHERE tenant = :tenant AND scope = :scope AND (cap IS NULL OR spent + reserved + :amount + :aside <= cap + 1e-9)
    AND spent + reserved + :amount + :aside <= :most + 1e-9
    AND NOT EXISTS (
        SELECT 1 FROM acp_budget w WHERE w.tenant = :tenant AND w.scope = :window
            AND acp_budget.spent + acp_budget.reserved + :amount + :aside > w.cap + 1e-9)
RETURNING reserved"""

BEGIN_WINDOW = """
INSERT INTO acp_budget (tenant, scope, cap, reserved, spent) VALUES (:tenant, :scope, NULL, 0, 0)
ON CONFLICT (tenant, scope) DO NOTHING"""

NEW_RESERVATION = """
INSERT INTO acp_budget (tenant, scope, cap, reserved, spent) VALUES (:tenant, :scope, NULL, :amount, 0)
ON CONFLICT (tenant, scope) DO NOTHING RETURNING reserved"""

# Sums of floats given back in another order leave a dust that nobody holds: what is left of it counts as nothing.
SETTLE = """
INSERT INTO acp_budget (tenant, scope, cap, reserved, spent) VALUES (:tenant, :scope, NULL, 0, :spent)
ON CONFLICT (tenant, scope) DO UPDATE SET
    reserved = CASE WHEN acp_budget.reserved > :reserved + 1e-9 THEN acp_budget.reserved - :reserved ELSE 0 END,
    spent = acp_budget.spent + :spent"""

OPEN_BUDGET = """
INSERT INTO acp_budget (tenant, scope, cap, reserved, spent) VALUES (:tenant, :scope, :cap, 0, 0)
ON CONFLICT (tenant, scope) DO UPDATE SET cap = excluded.cap"""

# The fast commands

RUN_COLUMNS = """
SELECT r.id, r.session_id, r.batch_id, r.position, r.project, r.role, r.title, r.prompt, r.status, r.waiting_for,
    r.reason, r.message, r.model, r.steps, r.tool_calls, r.tokens_in, r.tokens_out, r.cost, r.cost_known, r.branch,
    r.worktree, r.root, r.path, r.commit_sha, r.files, r.added, r.removed, r.landed, r.last_type, r.last_text,
    r.created_at, r.updated_at, r.ended_at, s.owner, s.lease_until
FROM acp_run r JOIN acp_stream s ON s.id = r.id"""

RUN = RUN_COLUMNS + " WHERE r.tenant = :tenant AND r.id = :id"

RUNS = RUN_COLUMNS + " WHERE r.tenant = :tenant ORDER BY r.created_at DESC, r.position LIMIT :limit"

RUNS_BY_STATUS = (
    RUN_COLUMNS + " WHERE r.tenant = :tenant AND r.status = :status ORDER BY r.created_at DESC, r.position LIMIT :limit"
)

RUNS_OF_BATCH = RUN_COLUMNS + " WHERE r.tenant = :tenant AND r.batch_id = :batch_id ORDER BY r.position LIMIT :limit"

RUNS_OF_BATCH_BY_STATUS = (
    RUN_COLUMNS
    + " WHERE r.tenant = :tenant AND r.batch_id = :batch_id AND r.status = :status ORDER BY r.position LIMIT :limit"
)

BATCH_COLUMNS = "SELECT id, prompt, projects, options, status, exit_code, reason, created_at, ended_at FROM acp_batch"

BATCH = BATCH_COLUMNS + " WHERE tenant = :tenant AND id = :id"

BATCHES = BATCH_COLUMNS + " WHERE tenant = :tenant ORDER BY created_at DESC LIMIT :limit"

FIND = """
SELECT kind, id FROM acp_stream WHERE tenant = :tenant AND id >= :low AND id < :high ORDER BY id LIMIT :limit"""

EVENT_ROWS = """
SELECT seq, ts, v, type, actor, data, tokens_in, tokens_out, cost FROM acp_event
WHERE stream_id = :id AND seq > :after AND tenant = :tenant ORDER BY seq"""

BUDGET = "SELECT cap, reserved, spent FROM acp_budget WHERE tenant = :tenant AND scope = :scope"

CALLS = """
SELECT e.ts, e.type, e.data, r.project, r.role, r.batch_id, r.id, e.tokens_in, e.tokens_out, e.cost
FROM acp_event e JOIN acp_run r ON r.id = e.stream_id
WHERE e.tenant = :tenant AND e.ts >= :since AND e.type IN ('model_replied', 'model_failed', 'call_reviewed')
ORDER BY e.ts"""

BUDGETS = "SELECT scope, cap, reserved, spent FROM acp_budget WHERE tenant = :tenant ORDER BY scope"
