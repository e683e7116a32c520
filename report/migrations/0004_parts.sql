ALTER TABLE "receipts_waiting" ADD COLUMN "part" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "exceptions" ADD COLUMN "receipted_at" timestamp with time zone;--> statement-breakpoint
UPDATE "exceptions" SET "receipted_at" = now() WHERE "receipted";--> statement-breakpoint
DROP INDEX "exceptions_open";--> statement-breakpoint
ALTER TABLE "exceptions" DROP COLUMN "receipted";--> statement-breakpoint
CREATE INDEX "exceptions_open" ON "exceptions" USING btree ("operator","phone") WHERE status = 'unknown' or (status = 'retrying' and receipted_at is not null);--> statement-breakpoint
-- How many parts' receipts make a sent message delivered: fold.ts's expectedParts.
CREATE FUNCTION jsms_expected_parts(flags text[], operator_ids text[], pages smallint) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN 'partial' = ANY (flags) THEN greatest(cardinality(operator_ids), coalesce(pages, 32767))
    ELSE cardinality(operator_ids)
  END
$$;
