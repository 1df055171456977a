import { CreateTables1764000000000 } from './1764000000000-create-tables';
import { AddTraceContext1764700000000 } from './1764700000000-add-trace-context';
import { AddFilterHealth1764800300000 } from './1764800300000-add-filter-health';
import { AddWebhookCredentials1764800600000 } from './1764800600000-add-webhook-credentials';
import { AddScopesAndSealedHeaders1764800700000 } from './1764800700000-add-scopes-and-sealed-headers';
import { AddAuditAndKeyNetworks1764800800000 } from './1764800800000-add-audit-and-key-networks';
import { AddCancellations1764900000000 } from './1764900000000-add-cancellations';
import { AddManualAttempts1765300000000 } from './1765300000000-add-manual-attempts';
import { AddRefusalReasons1765300100000 } from './1765300100000-add-refusal-reasons';
import { IndexWebhooksByCreation1765300200000 } from './1765300200000-index-webhooks-by-creation';
import { AddStatsBytes1765500000000 } from './1765500000000-add-stats-bytes';
import { AddSeenEventTypes1765500100000 } from './1765500100000-add-seen-event-types';
import { AddWebhookUpdates1765500200000 } from './1765500200000-add-webhook-updates';

/** Every migration, oldest first: the same list for both databases. A landed one is never changed. */
export const migrations = [
  CreateTables1764000000000,
  AddTraceContext1764700000000,
  AddFilterHealth1764800300000,
  AddWebhookCredentials1764800600000,
  AddScopesAndSealedHeaders1764800700000,
  AddAuditAndKeyNetworks1764800800000,
  AddCancellations1764900000000,
  AddManualAttempts1765300000000,
  AddRefusalReasons1765300100000,
  IndexWebhooksByCreation1765300200000,
  AddStatsBytes1765500000000,
  AddSeenEventTypes1765500100000,
  AddWebhookUpdates1765500200000,
];
