"""Scenarios of the Python client `kubernetes`, one test each, against the cluster that KUBECONFIG names.

Each wants a cluster of its own with the controllers and one node. `python -m unittest scenarios.Objects.test_patches`
"""

import asyncio
import os
import sys
import threading
import time
import unittest

from kubernetes import aio, client, config, dynamic, informer, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.stream import stream

HERE = "default"
PATIENCE = 60
FROM = "from=python"


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"from": "python"}), data=data)


def deployment(name, replicas):
    labels = {"app": name}
    container = client.V1Container(name="main", image="main:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    return client.V1Deployment(
        api_version="apps/v1", kind="Deployment", metadata=client.V1ObjectMeta(name=name), spec=spec
    )


def definition():
    """The definition of the kind Boat."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.test.example.com"},
        "spec": {
            "group": "test.example.com",
            "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {"oars": {"type": "integer", "default": 2}, "name": {"type": "string"}},
                                },
                                "status": {"type": "object", "properties": {"afloat": {"type": "boolean"}}},
                            },
                        }
                    },
                }
            ],
        },
    }


class Scenario(unittest.TestCase):
    """What all of them use."""

    def setUp(self):
        config.load_kube_config()
        self.core = client.CoreV1Api()
        self.apps = client.AppsV1Api()

    def refused(self, code, call, *args, **kwargs):
        with self.assertRaises(ApiException) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status, code, caught.exception)
        return caught.exception

    def eventually(self, what, holds):
        """Waits for the state of another thread, or for objects that others write."""
        deadline = time.monotonic() + PATIENCE
        while not (found := holds()):
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)
        return found


class Objects(Scenario):
    """Typed objects."""

    def test_objects_come_and_go(self):
        made = self.core.create_namespaced_config_map(HERE, config_map("m", k="v"), field_manager="test")
        self.assertEqual(made.metadata.managed_fields[0].manager, "test")
        self.refused(409, self.core.create_namespaced_config_map, HERE, config_map("m"))
        self.refused(422, self.core.create_namespaced_config_map, HERE, config_map("Not A Name"))
        self.refused(404, self.core.read_namespaced_config_map, "none", HERE)
        self.core.create_namespaced_config_map(HERE, config_map("dry"), dry_run="All")
        self.refused(404, self.core.read_namespaced_config_map, "dry", HERE)
        made.data["k"] = "w"
        replaced = self.core.replace_namespaced_config_map("m", HERE, made)
        self.assertNotEqual(replaced.metadata.resource_version, made.metadata.resource_version)
        self.refused(409, self.core.replace_namespaced_config_map, "m", HERE, made)
        for i in range(5):
            self.core.create_namespaced_config_map(HERE, config_map(f"m-{i}"))
        page = self.core.list_namespaced_config_map(HERE, label_selector=FROM, limit=4)
        self.assertEqual(len(page.items), 4)
        rest = self.core.list_namespaced_config_map(HERE, label_selector=FROM, limit=4, _continue=page.metadata._continue)
        self.assertEqual(len(rest.items), 2)
        self.core.delete_namespaced_config_map("m", HERE)
        self.core.delete_collection_namespaced_config_map(HERE, label_selector=FROM)
        self.assertEqual(self.core.list_namespaced_config_map(HERE, label_selector=FROM).items, [])
        version = client.VersionApi().get_code()
        self.assertEqual((version.major, version.minor), ("1", "37"))

    def test_patches(self):
        self.apps.create_namespaced_deployment(HERE, deployment("web", 0))
        side = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
        # A body that is an object is a merge or a strategic merge, one that is a list a JSON patch.
        merged = self.apps.patch_namespaced_deployment(
            "web", HERE, side, _content_type="application/strategic-merge-patch+json"
        )
        self.assertEqual(len(merged.spec.template.spec.containers), 2)
        replaced = self.apps.patch_namespaced_deployment("web", HERE, side, _content_type="application/merge-patch+json")
        self.assertEqual([c.name for c in replaced.spec.template.spec.containers], ["side"])
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
        self.apps.patch_namespaced_deployment("web", HERE, patch, _content_type="application/json-patch+json")
        self.eventually(
            "two replicas are ready",
            lambda: self.apps.read_namespaced_deployment_status("web", HERE).status.ready_replicas == 2,
        )
        scale = self.apps.read_namespaced_deployment_scale("web", HERE)
        self.assertEqual(scale.status.replicas, 2)
        scale.spec.replicas = 1
        self.apps.replace_namespaced_deployment_scale("web", HERE, scale)
        applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
        apply = {"_content_type": "application/apply-patch+yaml", "field_manager": "python"}
        self.refused(409, self.apps.patch_namespaced_deployment, "web", HERE, applied, **apply)
        forced = self.apps.patch_namespaced_deployment("web", HERE, applied, force=True, **apply)
        self.assertEqual(forced.spec.replicas, 3)

    def test_files_of_objects(self):
        objects = [client.ApiClient().sanitize_for_serialization(o) for o in (deployment("web", 1), config_map("m", k="v"))]
        objects[1].update(apiVersion="v1", kind="ConfigMap")
        utils.create_from_yaml(client.ApiClient(), yaml_objects=objects, namespace=HERE)
        with self.assertRaises(utils.FailToCreateError):
            utils.create_from_yaml(client.ApiClient(), yaml_objects=objects[1:], namespace=HERE)
        self.assertEqual(self.core.read_namespaced_config_map("m", HERE).data, {"k": "v"})
        self.eventually(
            "the deployment is ready",
            lambda: self.apps.read_namespaced_deployment_status("web", HERE).status.ready_replicas == 1,
        )


class Watches(Scenario):
    """What changes is told."""

    def test_watch(self):
        since = self.core.list_namespaced_config_map(HERE).metadata.resource_version
        self.core.create_namespaced_config_map(HERE, config_map("m", k="v"))
        self.core.replace_namespaced_config_map("m", HERE, config_map("m", k="w"))
        self.core.delete_namespaced_config_map("m", HERE)
        seen, stream = [], watch.Watch()
        for event in stream.stream(
            self.core.list_namespaced_config_map, HERE, label_selector=FROM, resource_version=since, timeout_seconds=PATIENCE
        ):
            seen.append((event["type"], event["object"].data["k"]))
            if event["type"] == "DELETED":
                stream.stop()
        self.assertEqual(seen, [("ADDED", "v"), ("MODIFIED", "w"), ("DELETED", "w")])

    def test_informer(self):
        self.core.create_namespaced_config_map(HERE, config_map("first"))
        maps = informer.SharedInformer(self.core.list_namespaced_config_map, namespace=HERE, label_selector=FROM)
        seen, deleted = [], threading.Event()
        maps.add_event_handler(informer.ADDED, lambda o: seen.append(o.metadata.name))
        maps.add_event_handler(informer.DELETED, lambda o: deleted.set())
        maps.start()
        self.addCleanup(maps.stop)
        self.eventually("the first is there", lambda: maps.cache.get_by_key(f"{HERE}/first"))
        self.core.create_namespaced_config_map(HERE, config_map("second"))
        self.eventually("the second is there", lambda: maps.cache.get_by_key(f"{HERE}/second"))
        self.core.delete_namespaced_config_map("first", HERE)
        self.assertTrue(deleted.wait(PATIENCE))
        self.assertEqual(maps.cache.list_keys(), [f"{HERE}/second"])
        self.assertEqual(seen, ["first", "second"])

    def test_asyncio(self):
        async def scenario():
            await aio.config.load_kube_config()
            async with aio.client.ApiClient() as api:
                core = aio.client.CoreV1Api(api)
                body = aio.client.V1ConfigMap(metadata=aio.client.V1ObjectMeta(name="m", labels={"from": "python"}))
                made = await core.create_namespaced_config_map(HERE, body)
                since = made.metadata.resource_version
                await core.delete_namespaced_config_map("m", HERE)
                async with aio.watch.Watch() as stream:
                    async for event in stream.stream(
                        core.list_namespaced_config_map, HERE, label_selector=FROM, resource_version=since
                    ):
                        return event["type"], event["object"].metadata.name

        self.assertEqual(asyncio.run(asyncio.wait_for(scenario(), PATIENCE)), ("DELETED", "m"))


class Dynamic(Scenario):
    """The dynamic client, on a kind of one's own."""

    def test_defined_kind(self):
        api = dynamic.DynamicClient(client.ApiClient())
        definitions = api.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
        definitions.create(body=definition())

        def established():
            status = definitions.get(name="boats.test.example.com").to_dict().get("status", {})
            return any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or [])

        self.eventually("the definition is established", established)
        boats = api.resources.get(api_version="test.example.com/v1", kind="Boat")
        boat = {"apiVersion": "test.example.com/v1", "kind": "Boat", "metadata": {"name": "one"}, "spec": {"name": "Ada"}}
        made = boats.create(body=boat, namespace=HERE)
        self.assertEqual(made.spec.oars, 2)
        with self.assertRaises(ConflictError):
            boats.create(body=boat, namespace=HERE)
        merged = boats.patch(
            body={"spec": {"oars": 4}}, name="one", namespace=HERE, content_type="application/merge-patch+json"
        )
        self.assertEqual((merged.spec.oars, merged.spec.name, merged.metadata.generation), (4, "Ada", 2))
        boats.status.patch(
            body={"status": {"afloat": True}}, name="one", namespace=HERE, content_type="application/merge-patch+json"
        )
        applied = boats.server_side_apply(
            body={**boat, "spec": {"oars": 6}}, name="one", namespace=HERE, field_manager="python", force_conflicts=True
        )
        self.assertEqual((applied.spec.oars, applied.status.afloat), (6, True))
        for event in boats.watch(namespace=HERE, timeout=PATIENCE):
            self.assertEqual((event["type"], event["object"].metadata.name), ("ADDED", "one"))
            break
        self.assertEqual(len(boats.get(namespace=HERE).items), 1)
        boats.delete(name="one", namespace=HERE)
        with self.assertRaises(NotFoundError):
            boats.get(name="one", namespace=HERE)
        custom = client.CustomObjectsApi()
        custom.create_namespaced_custom_object("test.example.com", "v1", HERE, "boats", boat)
        listed = custom.list_cluster_custom_object("test.example.com", "v1", "boats")
        self.assertEqual([o["spec"]["oars"] for o in listed["items"]], [2])


class Streams(Scenario):
    """Real containers, from the image that IMAGE names, which has a shell."""

    def setUp(self):
        super().setUp()
        container = client.V1Container(
            name="main", image=os.environ["IMAGE"], command=["sh", "-c", "echo started; exec sleep 3600"]
        )
        spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=1)
        self.core.create_namespaced_pod(HERE, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
        self.eventually("the pod runs", lambda: self.core.read_namespaced_pod("p", HERE).status.phase == "Running")

    def exec(self, *command, **options):
        return stream(
            self.core.connect_get_namespaced_pod_exec, "p", HERE, command=list(command), stdout=True, stderr=True, **options
        )

    def test_exec_and_logs(self):
        self.assertEqual(self.exec("echo", "hello").strip(), "hello")
        self.assertEqual(self.core.read_namespaced_pod_log("p", HERE).strip(), "started")
        shell = self.exec("sh", stdin=True, _preload_content=False)
        shell.write_stdin("echo out; echo err >&2; exit 7\n")
        shell.run_forever(timeout=PATIENCE)
        self.assertEqual((shell.read_stdout().strip(), shell.read_stderr().strip(), shell.returncode), ("out", "err", 7))
        lines = watch.Watch().stream(self.core.read_namespaced_pod_log, "p", HERE)
        self.assertEqual(next(lines), "started")


if __name__ == "__main__":
    sys.exit(unittest.main())
