CREATE TABLE `api_keys` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `name` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `token_hash` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `hint` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `scopes` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `created_at` bigint NOT NULL,
  `expires_at` bigint DEFAULT NULL,
  `revoked_at` bigint DEFAULT NULL,
  `origin` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `granted_scopes` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `last_used_at` bigint DEFAULT NULL,
  `allowed_networks` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `api_keys_by_token` (`token_hash`),
  KEY `api_keys_by_application` (`application_id`)
) ENGINE=InnoDB;

CREATE TABLE `applications` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `unique_key` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `name` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `metadata` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `retention_days` int DEFAULT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint NOT NULL,
  `deleted_at` bigint DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `applications_by_key` (`unique_key`)
) ENGINE=InnoDB;

CREATE TABLE `attempts` (
  `id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `triggered_by` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `started_at` bigint NOT NULL,
  `duration_ms` int NOT NULL,
  `outcome` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `status_code` int DEFAULT NULL,
  `error` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `url` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `request_headers` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `response_headers` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `response_body` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `response_truncated` int NOT NULL,
  `phases` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;

CREATE TABLE `audit_events` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `actor_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `actor_partner` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `address` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `action` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `target_ids` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `count` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  `reason` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;

CREATE TABLE `bodies` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `sequence` bigint NOT NULL,
  `body_key` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `body` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (`application_id`,`sequence`,`body_key`)
) ENGINE=InnoDB;

CREATE TABLE `cancellations` (
  `delivery_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `owner` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`delivery_id`),
  KEY `cancellations_by_owner` (`owner`)
) ENGINE=InnoDB;

CREATE TABLE `counters` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `log` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `last_sequence` bigint NOT NULL,
  `version` bigint NOT NULL,
  `webhook_sequence` bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (`application_id`,`log`)
) ENGINE=InnoDB;

CREATE TABLE `deliveries` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `event_type` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `payload_chars` int NOT NULL,
  `status` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `attempt_count` int NOT NULL,
  `owner` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `due_at` bigint DEFAULT NULL,
  `next_trigger` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `body_key` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `ordering_key` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `created_at` bigint NOT NULL,
  `completed_at` bigint DEFAULT NULL,
  `manual_attempts` int NOT NULL DEFAULT 0,
  `automatic_due_at` bigint DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `deliveries_due` (`owner`,`webhook_id`,`due_at`),
  KEY `deliveries_by_webhook` (`webhook_id`,`id`),
  KEY `deliveries_by_status` (`application_id`,`status`,`id`)
) ENGINE=InnoDB;

CREATE TABLE `delivery_updates` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `last_sequence` bigint NOT NULL,
  `first_sequence` bigint NOT NULL,
  `updates` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `created_at` bigint NOT NULL,
  PRIMARY KEY (`application_id`,`last_sequence`)
) ENGINE=InnoDB;

CREATE TABLE `events` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `sequence` bigint NOT NULL,
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `type` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `payload` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `idempotency_key` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `ordering_key` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `occurred_at` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  `redacted_at` bigint DEFAULT NULL,
  `trace_context` varchar(568) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  PRIMARY KEY (`application_id`,`sequence`),
  UNIQUE KEY `events_by_idempotency_key` (`application_id`,`idempotency_key`)
) ENGINE=InnoDB;

CREATE TABLE `event_types` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `name` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `description` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `payload_schema` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint NOT NULL,
  `archived_at` bigint DEFAULT NULL,
  `examples` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  PRIMARY KEY (`application_id`,`name`)
) ENGINE=InnoDB;

CREATE TABLE `instances` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `host` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `pid` bigint NOT NULL,
  `started_at` bigint NOT NULL,
  `heartbeat_at` bigint NOT NULL,
  `version` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;

CREATE TABLE `redactions` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `sequence` bigint NOT NULL,
  `redacted_at` bigint NOT NULL,
  PRIMARY KEY (`application_id`,`sequence`),
  KEY `redactions_by_time` (`redacted_at`)
) ENGINE=InnoDB;

CREATE TABLE `retry_jobs` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `kind` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `status` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `selection` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `scan_cursor` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `planned` bigint NOT NULL,
  `total` bigint NOT NULL,
  `done` bigint NOT NULL,
  `failed` bigint NOT NULL,
  `version` int NOT NULL,
  `worker` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `worker_until` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  `completed_at` bigint DEFAULT NULL,
  `author_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `retry_jobs_by_completion` (`completed_at`,`id`)
) ENGINE=InnoDB;

CREATE TABLE `retry_job_items` (
  `job_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `delivery_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `attempt_count` int DEFAULT NULL,
  `prior_status` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `prior_due_at` bigint DEFAULT NULL,
  `prior_completed_at` bigint DEFAULT NULL,
  PRIMARY KEY (`job_id`,`webhook_id`,`delivery_id`)
) ENGINE=InnoDB;

CREATE TABLE `seen_event_types` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `name` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `first_seen_at` bigint NOT NULL,
  `last_seen_at` bigint NOT NULL,
  PRIMARY KEY (`application_id`,`name`)
) ENGINE=InnoDB;

CREATE TABLE `webhooks` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `url` varchar(2048) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `description` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `event_types` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `headers` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `retry_schedule` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `timeout_seconds` int NOT NULL,
  `max_concurrency` int NOT NULL,
  `ordering` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `rate_per_second` double DEFAULT NULL,
  `filter` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `payload_query` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `signing` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `format` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `verification` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `allowed_rate` int DEFAULT NULL,
  `secret_hint` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `public_key` varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `status` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `version` int NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint NOT NULL,
  `deleted_at` bigint DEFAULT NULL,
  `client_certificate` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `client_key` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `oauth` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `oauth_secret` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `sealed_headers` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `webhooks_by_creation` (`application_id`,`created_at`,`id`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_filter_health` (
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `event_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `event_type` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `created_at` bigint NOT NULL,
  PRIMARY KEY (`webhook_id`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_health` (
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `failing_since` bigint NOT NULL,
  `circuit_open` int NOT NULL,
  `reason` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `disabled_at` bigint DEFAULT NULL,
  PRIMARY KEY (`webhook_id`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_owners` (
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `owner` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`webhook_id`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_secrets` (
  `id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `scheme` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `sealed` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `created_at` bigint NOT NULL,
  `expires_at` bigint DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `webhook_secrets_by_webhook` (`webhook_id`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_stats` (
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `started_at` bigint NOT NULL,
  `instance_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `succeeded` bigint NOT NULL,
  `failed` bigint NOT NULL,
  `histogram` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `bytes` bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (`webhook_id`,`started_at`,`instance_id`),
  KEY `webhook_stats_by_time` (`started_at`)
) ENGINE=InnoDB;

CREATE TABLE `webhook_updates` (
  `application_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `sequence` bigint NOT NULL,
  `webhook_id` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `kind` varchar(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `health` varchar(48) CHARACTER SET ascii COLLATE ascii_bin DEFAULT NULL,
  `reason` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `health_sequence` bigint DEFAULT NULL,
  `created_at` bigint NOT NULL,
  PRIMARY KEY (`application_id`,`sequence`),
  KEY `webhook_updates_of_health` (`webhook_id`,`health_sequence`)
) ENGINE=InnoDB;
