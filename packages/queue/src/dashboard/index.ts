// @holdfast/queue/dashboard: queues to look at and to operate, as a Fetch handler.
export type { Authorize, DashboardAccess } from "./access.ts";
export type { DashboardChangeEvent } from "./changes.ts";
export type { QueueDashboard, QueueDashboardOptions } from "./queue-dashboard.ts";
export { DASHBOARD_DEFAULTS, queueDashboard } from "./queue-dashboard.ts";
