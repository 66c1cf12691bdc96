// The thread of queue.esm.mjs.
import { defineTask } from "@holdfast/queue";
import { threadWork } from "@holdfast/queue/threads";

threadWork(defineTask({ name: "triple" }), ({ input }) => input * 3);
