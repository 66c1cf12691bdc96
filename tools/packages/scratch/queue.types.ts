// Uses @holdfast/queue from strict TypeScript.
import { defineTask, handle, memoryStore, queue } from "@holdfast/queue";

const double = defineTask<number, number, number>({ name: "double" });
const numbers = queue({ name: "numbers", store: memoryStore() });
const id: Promise<string> = numbers.enqueue(double, 21).then((task) => task.id);
const result: Promise<number> = numbers.wait(double, "an-id");
const handler = handle(double, ({ input }) => input * 2);

// @ts-expect-error the input of this task is a number
void numbers.enqueue(double, "21");

export { handler, id, result };
