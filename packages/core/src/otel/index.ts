// @holdfast/core/otel: Holdfast's events as OpenTelemetry metrics and spans. Needs the peer @opentelemetry/api.
export { instrument } from "./instrument.ts";
export type { Instrumentation, InstrumentOptions } from "./instrument.ts";
