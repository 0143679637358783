// One workflow through the JavaScript SDK: register, work, start, get, act, search. The server's address comes in
// CONDUCTOR_SERVER_URL; prints one JSON object of what it saw.

import { setTimeout as pause } from "node:timers/promises";

import { MetadataClient, TaskManager, WorkflowExecutor, noopLogger, orkesConductorClient } from "@io-orkes/conductor-javascript";

const WITHIN_MS = 15_000;

const client = await orkesConductorClient({ serverUrl: process.env.CONDUCTOR_SERVER_URL });
const definitions = new MetadataClient(client);
const executor = new WorkflowExecutor(client);

async function until(look, isThere) {
  const deadline = Date.now() + WITHIN_MS;
  for (;;) {
    const found = await look();
    if (isThere(found)) return found;
    if (Date.now() > deadline) throw new Error(`still waiting after ${WITHIN_MS} ms: ${JSON.stringify(found)}`);
    await pause(50); // asks again: the SDK has no other way to be told
  }
}

const simple = (name, ref, inputParameters = {}) => ({ name, taskReferenceName: ref, type: "SIMPLE", inputParameters });
const workflow = (name, ...tasks) => ({ name, version: 1, schemaVersion: 2, tasks, timeoutSeconds: 0, inputParameters: [] });

// The SDK's workers register their task with PUT alone, so that must create it.
await definitions.updateTask({ name: "js_shout", retryCount: 1, retryDelaySeconds: 0, timeoutSeconds: 0 });
await executor.registerWorkflow(true, {
  ...workflow("js_shouting", simple("js_shout", "shouting", { text: "${workflow.input.text}" })),
  outputParameters: { shouted: "${shouting.output.text}" },
});
await executor.registerWorkflow(
  true,
  workflow("js_acting", { name: "w", taskReferenceName: "first", type: "WAIT", inputParameters: {} }, simple("js_never", "second")),
);

const manager = new TaskManager(
  client,
  [
    {
      taskDefName: "js_shout",
      execute: async (task) => {
        const text = task.inputData.text;
        if (text === "" && task.retryCount === 0) throw new Error("nothing to shout");
        return { status: "COMPLETED", outputData: { text: text.toUpperCase() + "!" } };
      },
    },
  ],
  { logger: noopLogger, options: { concurrency: 2, pollInterval: 50, workerID: "js-worker" } },
);
manager.startPolling();

const ids = [];
for (const text of ["a", "b", "c", "d", ""]) {
  ids.push(await executor.startWorkflow({ name: "js_shouting", version: 1, input: { text }, correlationId: "js" }));
}
const done = [];
for (const id of ids) {
  done.push(await until(() => executor.getWorkflow(id, true), (found) => found.status !== "RUNNING"));
}
const query = "workflowType = 'js_shouting' AND status = 'COMPLETED'";
const hits = await until(() => executor.search(0, 10, query, "*"), (page) => page.results.length === ids.length);
await manager.stopPolling();

const acting = await executor.startWorkflow({ name: "js_acting", version: 1, input: {} });
const statuses = [];
const note = async () => statuses.push((await executor.getWorkflowStatus(acting, true, true)).status);
await executor.pause(acting);
await note();
await executor.resume(acting);
await executor.skipTasksFromWorkflow(acting, "second", { taskOutput: { skipped: true } });
await executor.updateTaskByRefName("first", acting, "COMPLETED", { by: "name" });
await note();
const ended = await executor.getWorkflow(acting, true);
await executor.restart(acting, false);
await note();
await executor.terminate(acting, "enough");
await note();
await executor.retry(acting, false);
await note();

const refusal = await executor.getWorkflow("js-unknown", true).then(String, (error) => `${error.name}: ${error.message}`);

console.log(
  JSON.stringify({
    ids,
    found: done.map((one) => one.workflowId),
    statuses: done.map((one) => one.status),
    shouted: done.map((one) => one.output.shouted),
    attempts: done.map((one) => one.tasks.length),
    workers: [...new Set(done.flatMap((one) => one.tasks.map((task) => task.workerId)))],
    hits: hits.results.map((hit) => hit.workflowId).sort(),
    acted: statuses,
    acting: ended.tasks.map((task) => [task.referenceTaskName, task.status, task.outputData]),
    refusal,
  }),
);
// With a key the SDK renews its token for ever, which would keep the program from ending.
process.exit(0);
