CREATE TABLE "api_keys" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "application_id" varchar(48),
  "name" varchar(255) NOT NULL,
  "token_hash" varchar(64) NOT NULL,
  "hint" varchar(48) NOT NULL,
  "scopes" text NOT NULL,
  "created_at" bigint NOT NULL,
  "expires_at" bigint,
  "revoked_at" bigint,
  "origin" varchar(48) NOT NULL,
  granted_scopes text,
  last_used_at bigint,
  allowed_networks text
) WITHOUT ROWID;

CREATE INDEX "api_keys_by_application" ON "api_keys" ("application_id");

CREATE UNIQUE INDEX "api_keys_by_token" ON "api_keys" ("token_hash");

CREATE TABLE "applications" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "unique_key" varchar(255),
  "name" varchar(255) NOT NULL,
  "metadata" text,
  "retention_days" integer,
  "created_at" bigint NOT NULL,
  "updated_at" bigint NOT NULL,
  "deleted_at" bigint
);

CREATE UNIQUE INDEX "applications_by_key" ON "applications" ("unique_key");

CREATE TABLE "attempts" (
  "id" varchar(64) PRIMARY KEY NOT NULL,
  "triggered_by" varchar(48) NOT NULL,
  "started_at" bigint NOT NULL,
  "duration_ms" integer NOT NULL,
  "outcome" varchar(48) NOT NULL,
  "status_code" integer,
  "error" text,
  "url" text NOT NULL,
  "request_headers" text NOT NULL,
  "response_headers" text NOT NULL,
  "response_body" text,
  "response_truncated" integer NOT NULL,
  "phases" varchar(255)
);

CREATE TABLE "audit_events" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "actor_id" varchar(48),
  "actor_partner" varchar(255),
  "address" varchar(48),
  "action" varchar(48) NOT NULL,
  "target_ids" text NOT NULL,
  "count" bigint NOT NULL,
  "created_at" bigint NOT NULL,
  reason varchar(48)
);

CREATE TABLE "bodies" (
  "application_id" varchar(48) NOT NULL,
  "sequence" bigint NOT NULL,
  "body_key" varchar(48) NOT NULL,
  "body" text NOT NULL,
  PRIMARY KEY ("application_id", "sequence", "body_key")
);

CREATE TABLE "cancellations" (
  "delivery_id" varchar(48) PRIMARY KEY NOT NULL,
  "owner" varchar(48) NOT NULL
) WITHOUT ROWID;

CREATE INDEX "cancellations_by_owner" ON "cancellations" ("owner");

CREATE TABLE "counters" (
  "application_id" varchar(48) NOT NULL,
  "log" varchar(48) NOT NULL,
  "last_sequence" bigint NOT NULL,
  "version" bigint NOT NULL,
  webhook_sequence bigint NOT NULL DEFAULT 0,
  PRIMARY KEY ("application_id", "log")
) WITHOUT ROWID;

CREATE TABLE "deliveries" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "application_id" varchar(48) NOT NULL,
  "webhook_id" varchar(48) NOT NULL,
  "event_type" varchar(255) NOT NULL,
  "payload_chars" integer NOT NULL,
  "status" varchar(48) NOT NULL,
  "attempt_count" integer NOT NULL,
  "owner" varchar(48),
  "due_at" bigint,
  "next_trigger" varchar(48),
  "body_key" varchar(48),
  "ordering_key" varchar(255),
  "created_at" bigint NOT NULL,
  "completed_at" bigint,
  manual_attempts integer NOT NULL DEFAULT 0,
  automatic_due_at bigint
) WITHOUT ROWID;

CREATE INDEX "deliveries_by_status" ON "deliveries" ("application_id", "status", "id");

CREATE INDEX "deliveries_by_webhook" ON "deliveries" ("webhook_id", "id");

CREATE INDEX "deliveries_due" ON "deliveries" ("owner", "webhook_id", "due_at");

CREATE TABLE "delivery_updates" (
  "application_id" varchar(48) NOT NULL,
  "last_sequence" bigint NOT NULL,
  "first_sequence" bigint NOT NULL,
  "updates" text NOT NULL,
  "created_at" bigint NOT NULL,
  PRIMARY KEY ("application_id", "last_sequence")
);

CREATE TABLE "event_types" (
  "application_id" varchar(48) NOT NULL,
  "name" varchar(255) NOT NULL,
  "description" text,
  "payload_schema" text,
  "created_at" bigint NOT NULL,
  "updated_at" bigint NOT NULL,
  "archived_at" bigint,
  examples text,
  PRIMARY KEY ("application_id", "name")
) WITHOUT ROWID;

CREATE TABLE "events" (
  "application_id" varchar(48) NOT NULL,
  "sequence" bigint NOT NULL,
  "id" varchar(48) NOT NULL,
  "type" varchar(255) NOT NULL,
  "payload" text NOT NULL,
  "idempotency_key" varchar(255),
  "ordering_key" varchar(255),
  "occurred_at" bigint NOT NULL,
  "created_at" bigint NOT NULL,
  "redacted_at" bigint,
  "trace_context" varchar(568),
  PRIMARY KEY ("application_id", "sequence")
);

CREATE UNIQUE INDEX "events_by_idempotency_key" ON "events" ("application_id", "idempotency_key");

CREATE TABLE "instances" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "host" varchar(255) NOT NULL,
  "pid" bigint NOT NULL,
  "started_at" bigint NOT NULL,
  "heartbeat_at" bigint NOT NULL,
  version varchar(48)
) WITHOUT ROWID;

CREATE TABLE "redactions" (
  "application_id" varchar(48) NOT NULL,
  "sequence" bigint NOT NULL,
  "redacted_at" bigint NOT NULL,
  PRIMARY KEY ("application_id", "sequence")
) WITHOUT ROWID;

CREATE INDEX "redactions_by_time" ON "redactions" ("redacted_at");

CREATE TABLE "retry_job_items" (
  "job_id" varchar(48) NOT NULL,
  "webhook_id" varchar(48) NOT NULL,
  "delivery_id" varchar(48) NOT NULL,
  "attempt_count" integer,
  "prior_status" varchar(48),
  "prior_due_at" bigint,
  "prior_completed_at" bigint,
  PRIMARY KEY ("job_id", "webhook_id", "delivery_id")
) WITHOUT ROWID;

CREATE TABLE "retry_jobs" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "application_id" varchar(48) NOT NULL,
  "kind" varchar(48) NOT NULL,
  "status" varchar(48) NOT NULL,
  "selection" text NOT NULL,
  "scan_cursor" varchar(48),
  "planned" bigint NOT NULL,
  "total" bigint NOT NULL,
  "done" bigint NOT NULL,
  "failed" bigint NOT NULL,
  "version" integer NOT NULL,
  "worker" varchar(48) NOT NULL,
  "worker_until" bigint NOT NULL,
  "created_at" bigint NOT NULL,
  "completed_at" bigint,
  author_id varchar(48)
);

CREATE INDEX "retry_jobs_by_completion" ON "retry_jobs" ("completed_at", "id");

CREATE TABLE "seen_event_types" (
  "application_id" varchar(48) NOT NULL,
  "name" varchar(255) NOT NULL,
  "first_seen_at" bigint NOT NULL,
  "last_seen_at" bigint NOT NULL,
  PRIMARY KEY ("application_id", "name")
) WITHOUT ROWID;

CREATE TABLE "webhook_filter_health" (
  "webhook_id" varchar(48) PRIMARY KEY NOT NULL,
  "event_id" varchar(48) NOT NULL,
  "event_type" varchar(255) NOT NULL,
  "created_at" bigint NOT NULL
) WITHOUT ROWID;

CREATE TABLE "webhook_health" (
  "webhook_id" varchar(48) PRIMARY KEY NOT NULL,
  "failing_since" bigint NOT NULL,
  "circuit_open" integer NOT NULL,
  "reason" text NOT NULL,
  "disabled_at" bigint
);

CREATE TABLE "webhook_owners" (
  "webhook_id" varchar(48) PRIMARY KEY NOT NULL,
  "owner" varchar(48) NOT NULL
) WITHOUT ROWID;

CREATE TABLE "webhook_secrets" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "webhook_id" varchar(48) NOT NULL,
  "scheme" varchar(48) NOT NULL,
  "sealed" text NOT NULL,
  "created_at" bigint NOT NULL,
  "expires_at" bigint
) WITHOUT ROWID;

CREATE INDEX "webhook_secrets_by_webhook" ON "webhook_secrets" ("webhook_id");

CREATE TABLE "webhook_stats" (
  "webhook_id" varchar(48) NOT NULL,
  "started_at" bigint NOT NULL,
  "instance_id" varchar(48) NOT NULL,
  "succeeded" bigint NOT NULL,
  "failed" bigint NOT NULL,
  "histogram" text NOT NULL,
  bytes bigint NOT NULL DEFAULT 0,
  PRIMARY KEY ("webhook_id", "started_at", "instance_id")
);

CREATE INDEX "webhook_stats_by_time" ON "webhook_stats" ("started_at");

CREATE TABLE "webhook_updates" (
  "application_id" varchar(48) NOT NULL,
  "sequence" bigint NOT NULL,
  "webhook_id" varchar(48) NOT NULL,
  "kind" varchar(48) NOT NULL,
  "health" varchar(48),
  "reason" text,
  "health_sequence" bigint,
  "created_at" bigint NOT NULL,
  PRIMARY KEY ("application_id", "sequence")
);

CREATE INDEX "webhook_updates_of_health" ON "webhook_updates" ("webhook_id", "health_sequence");

CREATE TABLE "webhooks" (
  "id" varchar(48) PRIMARY KEY NOT NULL,
  "application_id" varchar(48) NOT NULL,
  "url" varchar(2048) NOT NULL,
  "description" text,
  "event_types" text NOT NULL,
  "headers" text NOT NULL,
  "retry_schedule" text,
  "timeout_seconds" integer NOT NULL,
  "max_concurrency" integer NOT NULL,
  "ordering" varchar(48) NOT NULL,
  "rate_per_second" double,
  "filter" text,
  "payload_query" text,
  "signing" text NOT NULL,
  "format" varchar(48) NOT NULL,
  "verification" varchar(48) NOT NULL,
  "allowed_rate" integer,
  "secret_hint" varchar(48) NOT NULL,
  "public_key" varchar(64),
  "status" varchar(48) NOT NULL,
  "version" integer NOT NULL,
  "created_at" bigint NOT NULL,
  "updated_at" bigint NOT NULL,
  "deleted_at" bigint,
  "client_certificate" text,
  "client_key" text,
  "oauth" text,
  "oauth_secret" text,
  sealed_headers text
);

CREATE INDEX "webhooks_by_creation" ON "webhooks" ("application_id", "created_at", "id");
