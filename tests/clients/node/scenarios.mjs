// Scenarios of @kubernetes/client-node, against the cluster that KUBECONFIG names: `node scenarios.mjs objects`.
// Each wants a cluster of its own with the controllers and one node.

import assert from "node:assert/strict";
import { Writable } from "node:stream";
import * as k8s from "@kubernetes/client-node";

const { PatchStrategy, setHeaderOptions } = k8s;
const namespace = "default";
const labelSelector = "from=node";
const patience = 60_000;

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

const configMap = (name, data) => ({ metadata: { name, labels: { from: "node" } }, data });

const deployment = (name, replicas) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "main", image: "main:1" }] },
    },
  },
});

const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "boats.test.example.com" },
  spec: {
    group: "test.example.com",
    scope: "Namespaced",
    names: { plural: "boats", singular: "boat", kind: "Boat", listKind: "BoatList" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: { type: "object", properties: { oars: { type: "integer", _default: 2 } } },
              status: { type: "object", properties: { afloat: { type: "boolean" } } },
            },
          },
        },
      },
    ],
  },
};

/** The call is answered with this code. */
const refused = (code, call) => assert.rejects(call, (error) => error.code === code || assert.fail(error));

/** Waits for what others write, or for the state of an informer. */
async function eventually(what, holds) {
  for (const end = Date.now() + patience; ; ) {
    const found = await holds();
    if (found) return found;
    assert(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const scenarios = {
  async objects() {
    const made = await core.createNamespacedConfigMap({ namespace, body: configMap("m", { k: "v" }) });
    assert(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
    await refused(409, () => core.createNamespacedConfigMap({ namespace, body: configMap("m") }));
    await refused(422, () => core.createNamespacedConfigMap({ namespace, body: configMap("Not A Name") }));
    await refused(404, () => core.readNamespacedConfigMap({ namespace, name: "none" }));
    await core.createNamespacedConfigMap({ namespace, body: configMap("dry"), dryRun: "All" });
    await refused(404, () => core.readNamespacedConfigMap({ namespace, name: "dry" }));
    made.data.k = "w";
    const replaced = await core.replaceNamespacedConfigMap({ namespace, name: "m", body: made });
    assert.notEqual(replaced.metadata.resourceVersion, made.metadata.resourceVersion);
    await refused(409, () => core.replaceNamespacedConfigMap({ namespace, name: "m", body: made }));
    for (const name of ["a", "b"]) await core.createNamespacedConfigMap({ namespace, body: configMap(name) });
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector, limit: 2 });
    assert.equal(page.items.length, 2);
    const rest = await core.listNamespacedConfigMap({ namespace, labelSelector, _continue: page.metadata._continue });
    assert.equal(rest.items.length, 1);
    await core.deleteNamespacedConfigMap({ namespace, name: "m" });
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector });
    assert.deepEqual((await core.listNamespacedConfigMap({ namespace, labelSelector })).items, []);
    const version = await config.makeApiClient(k8s.VersionApi).getCode();
    assert.equal(version.minor, "37");
  },

  async patches() {
    const name = "web";
    await apps.createNamespacedDeployment({ namespace, body: deployment(name, 0) });
    const patch = (strategy, body, more) =>
      apps.patchNamespacedDeployment({ namespace, name, body, ...more }, setHeaderOptions("Content-Type", strategy));
    const side = { spec: { template: { spec: { containers: [{ name: "side", image: "side:1" }] } } } };
    const both = await patch(PatchStrategy.StrategicMergePatch, side);
    assert.equal(both.spec.template.spec.containers.length, 2);
    const one = await patch(PatchStrategy.MergePatch, side);
    assert.deepEqual(one.spec.template.spec.containers.map((c) => c.name), ["side"]);
    await patch(PatchStrategy.JsonPatch, [{ op: "replace", path: "/spec/replicas", value: 2 }]);
    await eventually("two replicas are ready", async () => {
      const { status } = await apps.readNamespacedDeploymentStatus({ namespace, name });
      return status.readyReplicas === 2;
    });
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name });
    assert.equal(scale.status.replicas, 2);
    scale.spec.replicas = 1;
    await apps.replaceNamespacedDeploymentScale({ namespace, name, body: scale });
  },

  async apply() {
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    const apply = (spec, manager, force) =>
      objects.patch(spec, undefined, undefined, manager, force, PatchStrategy.ServerSideApply);
    const made = await apply(deployment("web", 1), "mine");
    assert.equal(made.metadata.managedFields[0].operation, "Apply");
    await refused(409, () => apply(deployment("web", 2), "theirs"));
    const forced = await apply(deployment("web", 2), "theirs", true);
    assert.equal(forced.spec.replicas, 2);
  },

  async defined() {
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    await objects.create(definition);
    await eventually("the definition is established", async () => {
      const { status } = await objects.read(definition);
      return status?.conditions?.some((c) => c.type === "Established" && c.status === "True");
    });
    const boat = { apiVersion: "test.example.com/v1", kind: "Boat", metadata: { name: "one", namespace }, spec: {} };
    const made = await objects.create(boat);
    assert.equal(made.spec.oars, 2);
    const custom = config.makeApiClient(k8s.CustomObjectsApi);
    const where = { group: "test.example.com", version: "v1", namespace, plural: "boats", name: "one" };
    await custom.patchNamespacedCustomObjectStatus(
      { ...where, body: { status: { afloat: true } } },
      setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
    );
    const found = await custom.getNamespacedCustomObject(where);
    assert.deepEqual([found.spec.oars, found.status.afloat], [2, true]);
    assert.equal((await objects.list("test.example.com/v1", "Boat", namespace)).items.length, 1);
    await objects.delete(boat);
    await refused(404, () => objects.read(boat));
  },

  async watch() {
    const since = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
    await core.createNamespacedConfigMap({ namespace, body: configMap("m", { k: "v" }) });
    await core.replaceNamespacedConfigMap({ namespace, name: "m", body: configMap("m", { k: "w" }) });
    await core.deleteNamespacedConfigMap({ namespace, name: "m" });
    const seen = [];
    await new Promise((resolve, reject) => {
      const watching = new k8s.Watch(config).watch(
        `/api/v1/namespaces/${namespace}/configmaps`,
        { labelSelector, resourceVersion: since, allowWatchBookmarks: true },
        async (type, object) => {
          if (type !== "BOOKMARK") seen.push([type, object.data.k]);
          if (type === "DELETED") (await watching).abort();
        },
        (error) => (error === null || error.name === "AbortError" ? resolve() : reject(error)),
      );
    });
    assert.deepEqual(seen, [["ADDED", "v"], ["MODIFIED", "w"], ["DELETED", "w"]]);
  },

  async informer() {
    await core.createNamespacedConfigMap({ namespace, body: configMap("first") });
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector });
    const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, labelSelector);
    const seen = [];
    for (const verb of ["add", "update", "delete"]) {
      informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`));
    }
    informer.on("error", (error) => assert.fail(error));
    await informer.start();
    await core.createNamespacedConfigMap({ namespace, body: configMap("second") });
    await core.replaceNamespacedConfigMap({ namespace, name: "first", body: configMap("first", { k: "w" }) });
    await core.deleteNamespacedConfigMap({ namespace, name: "first" });
    await eventually("the first has gone", () => seen.includes("delete first"));
    await informer.stop();
    assert.deepEqual(seen, ["add first", "add second", "update first", "delete first"]);
    assert.deepEqual(informer.list(namespace).map((o) => o.metadata.name), ["second"]);
  },

  // Real containers, from the image that IMAGE names, which has a shell.
  async streams() {
    const name = "p";
    const command = ["sh", "-c", "echo started; exec sleep 3600"];
    const spec = { containers: [{ name: "main", image: process.env.IMAGE, command }], terminationGracePeriodSeconds: 1 };
    await core.createNamespacedPod({ namespace, body: { metadata: { name }, spec } });
    await eventually("the pod runs", async () => {
      return (await core.readNamespacedPod({ namespace, name })).status.phase === "Running";
    });
    const text = { out: "", err: "" };
    const into = (which) =>
      new Writable({ write: (chunk, _, done) => done(null, void (text[which] += chunk)) });
    const status = await new Promise((resolve, reject) => {
      const line = ["sh", "-c", "echo out; echo err >&2; exit 7"];
      const exec = new k8s.Exec(config);
      exec.exec(namespace, name, "main", line, into("out"), into("err"), null, false, resolve).catch(reject);
    });
    assert.equal(status.details.causes[0].message, "7");
    assert.deepEqual(text, { out: "out\n", err: "err\n" });
    const logs = await core.readNamespacedPodLog({ namespace, name });
    assert.equal(logs, "started\n");
  },
};

const scenario = scenarios[process.argv[2]];
assert(scenario, `one of ${Object.keys(scenarios).join(", ")}`);
await scenario();
console.log(`ok ${process.argv[2]}`);
// Idle connections would keep the process for a while.
process.exit(0);
