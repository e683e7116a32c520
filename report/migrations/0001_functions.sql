-- What is shown of a message that was decided: fold.ts's shownStatus, for receipts that came in different batches.
-- "receipts" is keyed by the operator's id of the part; "parts" is how many ids the operator gave, null where none.
CREATE FUNCTION jsms_shown_status(decided message_status, receipts jsonb, parts integer) RETURNS message_status
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN decided <> 'sent' OR receipts IS NULL THEN decided
    WHEN receipts @? '$.*.s ? (@ == "undelivered")' THEN 'undelivered'
    WHEN (SELECT count(*) FROM jsonb_object_keys(receipts)) >= greatest(coalesce(parts, 0), 1) THEN 'delivered'
    ELSE decided
  END
$$;
--> statement-breakpoint
-- A decision as "history" keeps it: schema.ts's HistoryStep.
CREATE FUNCTION jsms_step(status message_status, attempt smallint, operator text, posted bigint, error text, at timestamptz)
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('s', status, 'a', attempt, 'o', nullif(operator, ''), 'p', nullif(posted, 0),
    'e', error, 'at', (extract(epoch FROM at) * 1000)::bigint))
$$;
