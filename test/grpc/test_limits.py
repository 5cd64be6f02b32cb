"""Limits with an answer each, and what a generic client sees: reflection and health."""

import socket
import unittest

import grpc

import support
from support import Code, GatewayTest, eventually, field, generic_messages, new_sandbox, pb

MiB = 1 << 20


class Limits(GatewayTest):
    def code_of(self, method, data):
        try:
            self.raw(method)(data, timeout=30)
        except grpc.RpcError as e:
            return e.code()
        return Code.OK

    def test_a_message_of_4_mib_and_one_byte(self):
        # An unknown field of exactly as many bytes as are missing.
        def request(n):
            return field(1000, bytes(n - 6))

        self.assertEqual(len(request(4 * MiB)), 4 * MiB)
        self.assertEqual(self.code_of("ListSandboxes", request(4 * MiB)), Code.OK)
        self.assertEqual(
            self.code_of("ListSandboxes", request(4 * MiB + 1)), Code.RESOURCE_EXHAUSTED
        )
        self.assertEqual(self.list(), [])

    def nested(self, messages):
        """ValidateSandboxCreate whose innermost message lies in so many others."""
        # The request holds sandbox, spec, template, driver_config, its entry and its value: six.
        value, n = (field(6, b""), 7) if messages % 2 else (b"", 6)
        for _ in range(n, messages, 2):
            value = field(6, field(1, value))  # a list_value in a value
        config = field(1, field(1, b"a") + field(2, value))
        return field(1, field(4, field(6, field(12, config))))

    def test_nesting(self):
        for messages in (101, 102, 5000):
            with self.assertRaises(grpc.RpcError) as caught:
                self.raw("ValidateSandboxCreate")(self.nested(messages), timeout=support.WAIT)
            self.assertEqual(caught.exception.code(), Code.INVALID_ARGUMENT)
            self.assertIn("nested deeper than 100 levels", caught.exception.details())
        with self.assertRaises(grpc.RpcError) as caught:
            self.raw("ValidateSandboxCreate")(self.nested(100), timeout=support.WAIT)
        self.assertNotIn("nested deeper", caught.exception.details())

    def test_bytes_that_are_no_message(self):
        for data in (b"\x0a", b"\x0a\x05abc", b"\xff" * 20, b"\x0b", b"\x0a\x02\x0a\xff"):
            self.assertEqual(self.code_of("CreateSandbox", data), Code.INVALID_ARGUMENT, data)

    def test_text_that_is_no_text(self):
        self.assertEqual(self.code_of("GetSandbox", field(1, b"\xc3\x28")), Code.INVALID_ARGUMENT)
        self.assertEqual(self.code_of("GetSandbox", field(1, b"a\0b")), Code.INVALID_ARGUMENT)

    def test_a_method_that_is_not_there(self):
        self.assertEqual(self.code_of("FlySandbox", b""), Code.UNIMPLEMENTED)
        call = self.channel.unary_unary("/no.such.Service/Method")
        self.fails(Code.UNIMPLEMENTED, call, b"")

    def test_a_deadline(self):
        self.kube.rule("/sandboxes", method="POST", stall=True)
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=new_sandbox()), timeout=0.3)
        self.assertEqual(caught.exception.code(), Code.DEADLINE_EXCEEDED)
        self.list()

    def test_many_calls_at_once(self):
        sandbox = self.create()
        calls = [
            self.stub.GetSandbox.future(pb.GetSandboxRequest(sandbox_id=sandbox.id), timeout=30)
            for _ in range(1000)
        ]
        self.assertEqual({c.result().sandbox.id for c in calls}, {sandbox.id})

    def test_garbage_on_the_socket(self):
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + b"\0\0\0\4\0\0\0\0\0"
            + b"\x7f\xff\xff\1\4\0\0\0\1",
        ):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(support.WAIT)
                s.connect(self.driver.socket)
                s.sendall(data)
                try:
                    while s.recv(65536):
                        pass
                except ConnectionError:
                    pass
        self.assertEqual(self.list(), [])

    def test_half_open_peers_do_not_keep_others_out(self):
        peers = []
        for _ in range(100):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.driver.socket)
            self.addCleanup(s.close)
            peers.append(s)
        self.assertEqual(self.list(), [])

    def test_a_client_that_goes_away_in_the_middle_of_a_create(self):
        """What was begun is finished or cleaned up: the gateway finds the sandbox, or none."""
        self.kube.rule("/sandboxes", method="POST", delay=0.5)
        sandbox = new_sandbox()
        call = self.stub.CreateSandbox.future(pb.CreateSandboxRequest(sandbox=sandbox))
        eventually(lambda: self.kube.seen("POST", "/sandboxes"))
        call.cancel()
        eventually(
            lambda: self.kube.seen("POST", "/sandboxes")[0].__dict__.get("status"),
            "the POST was answered",
        )
        eventually(lambda: self.cr(sandbox) is None or [s.id for s in self.list()] == [sandbox.id])


class GenericClient(GatewayTest):
    """One that has none of our files."""

    def setUp(self):
        super().setUp()
        self.message = generic_messages()

    def reflect(self, version, *requests):
        request = self.message(f"grpc.reflection.{version}.ServerReflectionRequest")
        answer = self.message(f"grpc.reflection.{version}.ServerReflectionResponse")
        call = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return list(call(iter([request(**r) for r in requests]), timeout=support.WAIT))

    def test_services_are_listed(self):
        for version in ("v1", "v1alpha"):
            (answer,) = self.reflect(version, {"list_services": "*"})
            names = {s.name for s in answer.list_services_response.service}
            self.assertLessEqual(
                {
                    "openshell.compute.v1.ComputeDriver",
                    "grpc.health.v1.Health",
                    "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection",
                },
                names,
            )

    def test_files_make_a_client(self):
        """What grpcurl does: everything needed to call GetCapabilities, by reflection alone."""
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        pool, wanted, known = (
            descriptor_pool.DescriptorPool(),
            [{"file_containing_symbol": "openshell.compute.v1.ComputeDriver"}],
            {},
        )
        while wanted:
            (answer,) = self.reflect("v1", wanted.pop())
            self.assertEqual(
                answer.WhichOneof("message_response"), "file_descriptor_response", answer
            )
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                known[file.name] = file
                wanted += [{"file_by_filename": d} for d in file.dependency if d not in known]
        while known:
            for name, file in list(known.items()):
                if not set(file.dependency) & set(known):
                    pool.Add(known.pop(name))
        service = pool.FindServiceByName("openshell.compute.v1.ComputeDriver")
        self.assertEqual(len(service.methods), 14)
        answer = message_factory.MessageFactory(pool).GetPrototype(
            pool.FindMessageTypeByName("openshell.compute.v1.GetCapabilitiesResponse")
        )
        self.assertEqual(
            self.raw("GetCapabilities", answer.FromString)(b"", timeout=support.WAIT).driver_name,
            "kubernetes",
        )

    def test_what_is_unknown_is_said_and_the_stream_goes_on(self):
        answers = self.reflect(
            "v1",
            {"file_containing_symbol": "no.such.Thing"},
            {"file_by_filename": "no.proto"},
            {"file_containing_extension": {"containing_type": "a.B", "extension_number": 7}},
            {"all_extension_numbers_of_type": "a.B"},
            {"file_containing_symbol": "openshell.compute.v1.DriverSandbox"},
        )
        self.assertEqual(
            [a.WhichOneof("message_response") for a in answers[:3]], ["error_response"] * 3
        )
        self.assertEqual([a.error_response.error_code for a in answers[:2]], [5, 5])
        self.assertEqual(answers[4].WhichOneof("message_response"), "file_descriptor_response")
        self.assertEqual(answers[0].original_request.file_containing_symbol, "no.such.Thing")

    def health(self, method, service):
        request, answer = self.message("grpc.health.v1.HealthCheckRequest"), self.message(
            "grpc.health.v1.HealthCheckResponse"
        )
        kind = self.channel.unary_unary if method == "Check" else self.channel.unary_stream
        call = kind(
            f"/grpc.health.v1.Health/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call(request(service=service), timeout=support.WAIT)

    def test_health(self):
        self.assertEqual(self.health("Check", "").status, 1)
        with self.assertRaises(grpc.RpcError) as caught:
            self.health("Check", "no.such.Service")
        self.assertEqual(caught.exception.code(), Code.NOT_FOUND)
        self.assertEqual(next(iter(self.health("Watch", ""))).status, 1)
        self.assertEqual(next(iter(self.health("Watch", "no.such.Service"))).status, 3)


if __name__ == "__main__":
    unittest.main()
