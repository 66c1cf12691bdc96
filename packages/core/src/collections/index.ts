// @holdfast/core/collections: priority queues whose items can be moved and taken out, for those who keep things in order.
export { IndexedHeap } from "./indexed-heap.ts";
export type { Place } from "./indexed-heap.ts";
export { OrderedQueue } from "./ordered-queue.ts";
