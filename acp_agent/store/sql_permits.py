"""The statements of permits, as those of `store.sql`."""

PERMITS = """
SELECT call_id, limiter, owner, urgency, most, held, asked_at, until FROM acp_permit WHERE tenant = :tenant"""

KEEP_PERMIT = """
INSERT INTO acp_permit (call_id, limiter, tenant, owner, urgency, most, held, asked_at, until)
VALUES (:call_id, :limiter, :tenant, :owner, :urgency, :most, :held, :asked_at, :until)
ON CONFLICT (call_id, limiter) DO UPDATE
SET until = CASE WHEN excluded.until > acp_permit.until THEN excluded.until ELSE acp_permit.until END"""
"""Ask, renew, or take again what was lost meanwhile; a call that another process let begin keeps that."""

BEGIN_CALL = "UPDATE acp_permit SET held = 1 WHERE call_id = :call_id"

DROP_CALL = "DELETE FROM acp_permit WHERE call_id = :call_id"
