CREATE TABLE "exceptions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"status" "message_status" NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"phone" text COLLATE "C",
	"receipted" boolean NOT NULL
);
--> statement-breakpoint
DROP INDEX "messages_unknown";--> statement-breakpoint
CREATE INDEX "exceptions_user" ON "exceptions" USING btree ("user_id","status","id");--> statement-breakpoint
CREATE INDEX "exceptions_open" ON "exceptions" USING btree ("operator","phone") WHERE status = 'unknown' or (status = 'retrying' and receipted);--> statement-breakpoint
INSERT INTO "exceptions" SELECT "id", "user_id", "status", "operator", "phone", "receipts" IS NOT NULL FROM "messages"
WHERE "status" IN ('retrying', 'unknown', 'failed', 'undelivered');
