-- What the agents may do in Postgres: add rows, and see whether a row is there already. They change and remove
-- nothing, and read no content. Run it as the owner of the schema rpa, once `rpa-analytics migrate` made it;
-- running it again changes nothing. Each machine then gets a login of its own, which can be locked alone:
--   CREATE ROLE robot_01 LOGIN PASSWORD '…' IN ROLE rpa_agent;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rpa_agent') THEN
        CREATE ROLE rpa_agent NOLOGIN;
    END IF;
    -- A batch is copied into a temporary table first.
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO rpa_agent', current_database());
END
$$;

GRANT USAGE ON SCHEMA rpa TO rpa_agent;
GRANT SELECT ON rpa.rpa_schema_version TO rpa_agent;

GRANT INSERT ON rpa.execution, rpa.execution_start, rpa.execution_heartbeat, rpa.execution_metrics,
    rpa.step_metrics, rpa.resource_metrics, rpa.agent_heartbeat, rpa.quarantine, rpa.pending TO rpa_agent;
GRANT USAGE ON SEQUENCE rpa.pending_id_seq TO rpa_agent;

-- Keys and hashes: the same row sent again is told from another one with its key.
GRANT SELECT (execution_id) ON rpa.execution TO rpa_agent;
GRANT SELECT (execution_id, content_hash) ON rpa.execution_start, rpa.execution_metrics TO rpa_agent;
GRANT SELECT (execution_id, sent_at_us, content_hash) ON rpa.execution_heartbeat TO rpa_agent;
GRANT SELECT (execution_id, recorder_id, step_seq, attempt, ended_at_us, content_hash)
    ON rpa.step_metrics TO rpa_agent;
GRANT SELECT (agent_id, target, sampled_at_us, content_hash) ON rpa.resource_metrics TO rpa_agent;
GRANT SELECT (agent_id, sent_at_us, content_hash) ON rpa.agent_heartbeat TO rpa_agent;
GRANT SELECT (quarantine_id) ON rpa.quarantine TO rpa_agent;
