// @holdfast/queue/cron: tasks that are added by themselves.
export type { Times } from "./cron-times.ts";
export { TooManySchedulesError } from "./errors.ts";
export type { Missed, ScheduleEntry, ScheduleOptions, ScheduleTimes } from "./schedule.ts";
export { schedule } from "./schedule.ts";
export type {
  ScheduleFiredEvent,
  Scheduler,
  SchedulerErrorEvent,
  SchedulerOptions,
  ScheduleSnapshot,
} from "./scheduler.ts";
export { scheduler } from "./scheduler.ts";
