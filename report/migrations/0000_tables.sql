CREATE TYPE "public"."message_encoding" AS ENUM('gsm7', 'ucs2');--> statement-breakpoint
CREATE TYPE "public"."message_lane" AS ENUM('express', 'normal', 'bulk');--> statement-breakpoint
CREATE TYPE "public"."message_status" AS ENUM('queued', 'retrying', 'unknown', 'sent', 'failed', 'delivered', 'undelivered');--> statement-breakpoint
CREATE TYPE "public"."message_type" AS ENUM('express', 'normal');--> statement-breakpoint
CREATE TABLE "consumer_offsets" (
	"topic" text NOT NULL,
	"partition" integer NOT NULL,
	"next_offset" bigint NOT NULL,
	CONSTRAINT "consumer_offsets_topic_partition_pk" PRIMARY KEY("topic","partition")
);
--> statement-breakpoint
CREATE TABLE "daily_totals" (
	"user_id" text COLLATE "C" NOT NULL,
	"day" date NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"type" text COLLATE "C" NOT NULL,
	"status" "message_status" NOT NULL,
	"messages" bigint NOT NULL,
	"pages" bigint NOT NULL,
	"price" bigint NOT NULL,
	"posted" bigint NOT NULL,
	CONSTRAINT "daily_totals_user_id_day_operator_type_status_pk" PRIMARY KEY("user_id","day","operator","type","status")
);
--> statement-breakpoint
CREATE TABLE "dead_letters" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"attempts" smallint NOT NULL,
	"error" text,
	"died_at" timestamp with time zone NOT NULL,
	"replayed_as" uuid,
	"replayed_at" timestamp with time zone,
	"discarded_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "ledger_entries" (
	"transaction_id" uuid PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"day" date NOT NULL,
	"kind" text NOT NULL,
	"amount" bigint NOT NULL,
	"reason" text,
	"at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "ledger_totals" (
	"user_id" text COLLATE "C" NOT NULL,
	"day" date NOT NULL,
	"entries" bigint NOT NULL,
	"amount" bigint NOT NULL,
	CONSTRAINT "ledger_totals_user_id_day_pk" PRIMARY KEY("user_id","day")
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" text COLLATE "C" NOT NULL,
	"phone" text COLLATE "C",
	"text" text,
	"type" "message_type",
	"lane" "message_lane",
	"sender" text,
	"encoding" "message_encoding",
	"pages" smallint,
	"price" bigint,
	"batch_id" uuid,
	"client_ref" text COLLATE "C",
	"replay_of" uuid,
	"routed" text COLLATE "C",
	"status" "message_status" NOT NULL,
	"version" integer NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"attempts" smallint NOT NULL,
	"posted" bigint NOT NULL,
	"error" text,
	"decided_at" timestamp with time zone,
	"flags" text[],
	"operator_ids" text[],
	"history" jsonb,
	"receipts" jsonb,
	"created_at" timestamp with time zone NOT NULL,
	"updated_at" timestamp with time zone NOT NULL,
	"prev_status" "message_status",
	"prev_operator" text COLLATE "C",
	"prev_type" "message_type",
	"prev_posted" bigint
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE TABLE "operator_ids" (
	"operator_id" text COLLATE "C" NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"message_id" uuid NOT NULL
) PARTITION BY RANGE ("message_id");
--> statement-breakpoint
CREATE TABLE "poison_records" (
	"topic" text NOT NULL,
	"partition" integer NOT NULL,
	"offset" bigint NOT NULL,
	"reason" text NOT NULL,
	"size" integer NOT NULL,
	"value" "bytea" NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "poison_records_topic_partition_offset_pk" PRIMARY KEY("topic","partition","offset")
);
--> statement-breakpoint
CREATE TABLE "receipts_waiting" (
	"operator_id" text COLLATE "C" NOT NULL,
	"operator" text COLLATE "C" NOT NULL,
	"message_id" uuid,
	"status" "message_status" NOT NULL,
	"error" text,
	"at" timestamp with time zone NOT NULL,
	"received_at" timestamp with time zone NOT NULL,
	CONSTRAINT "receipts_waiting_operator_id_operator_pk" PRIMARY KEY("operator_id","operator")
);
--> statement-breakpoint
CREATE TABLE "report_state" (
	"key" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE INDEX "dead_letters_user" ON "dead_letters" USING btree ("user_id","id");--> statement-breakpoint
CREATE INDEX "ledger_entries_user" ON "ledger_entries" USING btree ("user_id","day","at","transaction_id");--> statement-breakpoint
CREATE INDEX "messages_user" ON "messages" USING btree ("user_id","id");--> statement-breakpoint
CREATE INDEX "messages_phone" ON "messages" USING btree ("phone","id");--> statement-breakpoint
CREATE INDEX "messages_batch" ON "messages" USING btree ("batch_id","id") WHERE batch_id is not null;--> statement-breakpoint
CREATE INDEX "messages_client_ref" ON "messages" USING btree ("user_id","client_ref","id") WHERE client_ref is not null;--> statement-breakpoint
CREATE INDEX "messages_replay" ON "messages" USING btree ("replay_of") WHERE replay_of is not null;--> statement-breakpoint
CREATE INDEX "operator_ids_id" ON "operator_ids" USING hash ("operator_id");--> statement-breakpoint
CREATE INDEX "receipts_waiting_message" ON "receipts_waiting" USING btree ("message_id") WHERE message_id is not null;--> statement-breakpoint
CREATE INDEX "receipts_waiting_received" ON "receipts_waiting" USING btree ("received_at");