import { memoryModelStore, modelRegistry } from "@holdfast/gpu-pool";
import { modelRegistryConformance } from "@holdfast/gpu-pool/testing";
import { describe, it } from "vitest";

describe("memoryModelStore", () => {
  modelRegistryConformance(
    { describe, it },
    { make: () => modelRegistry({ store: memoryModelStore({ history: 12 }), maxModels: 5, maxAliases: 4 }) },
  );
});
