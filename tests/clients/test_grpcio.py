"""gRPC's own Python client, with the code its compiler generates from our .proto files."""

import pathlib
import sys

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from grpc_tools import protoc

import operations
from operations import PACKAGE, Refused

API = pathlib.Path(__file__).resolve().parents[2] / "api"
CALL_SECONDS = 20
DETAILS = [error_details_pb2.BadRequest, error_details_pb2.PreconditionFailure, error_details_pb2.QuotaFailure,
           error_details_pb2.ResourceInfo]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The generated modules by the noun of their service: (messages, stub class)."""
    folder = tmp_path_factory.mktemp("generated")
    # google/api and google/rpc come with the packages of the test.
    protos = [str(path.relative_to(API)) for name in ("coreweave", "staithe") for path in sorted((API / name).rglob("*.proto"))]
    well_known = pathlib.Path(sys.modules["grpc_tools"].__file__).parent / "_proto"
    assert protoc.main(["protoc", f"-I{API}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}", *protos]) == 0
    sys.path.insert(0, str(folder))
    try:
        from coreweave.inference.v1alpha1 import capacity_claim_pb2, deployment_pb2, gateway_pb2
        from coreweave.inference.v1alpha1 import capacity_claim_pb2_grpc, deployment_pb2_grpc, gateway_pb2_grpc
    finally:
        sys.path.remove(str(folder))
    return {"CapacityClaimService": (capacity_claim_pb2, capacity_claim_pb2_grpc.CapacityClaimServiceStub),
            "DeploymentService": (deployment_pb2, deployment_pb2_grpc.DeploymentServiceStub),
            "GatewayService": (gateway_pb2, gateway_pb2_grpc.GatewayServiceStub)}


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def refused(error):
    """The error as operations.py knows it, with the details that grpc-status-details-bin carries."""
    details = []
    status = rpc_status.from_call(error)
    for item in status.details if status else []:
        kind = next(kind for kind in DETAILS if item.Is(kind.DESCRIPTOR))
        detail = kind()
        assert item.Unpack(detail)
        details.append({"@type": item.type_url, **json_format.MessageToDict(detail)})
    if status:
        assert (status.code, status.message) == (error.code().value[0], error.details())
    return Refused(error.code().name, error.details(), details)


def connector(generated, channel, **options):
    def connect(token):
        metadata = [("authorization", f"Bearer {token}")] if token else []

        def call(method, request):
            messages, stub = generated[operations.service_of(method)]
            message = json_format.ParseDict(request, getattr(messages, f"{method}Request")())
            try:
                answer = getattr(stub(channel), method)(message, metadata=metadata, timeout=CALL_SECONDS, wait_for_ready=False, **options)
            except grpc.RpcError as error:
                raise refused(error) from error
            return json_format.MessageToDict(answer)
        return call
    return connect


def test_all_operations(generated, channel):
    operations.run_all(connector(generated, channel))


def test_all_operations_with_gzip(generated, server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", compression=grpc.Compression.Gzip) as channel:
        operations.run_all(connector(generated, channel))


def test_all_operations_over_tls(generated, secure_server):
    credentials = grpc.ssl_channel_credentials(secure_server.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{secure_server.secure_port}", credentials) as channel:
        operations.run_all(connector(generated, channel))


def test_a_message_over_the_limit_is_refused_and_the_connection_lives_on(generated, channel):
    call = connector(generated, channel)("admin-token")
    huge = operations.claim_request(name="a" * (5 * 1024 * 1024))
    operations.refusal("RESOURCE_EXHAUSTED", call, "CreateCapacityClaim", huge)
    assert call("ListCapacityClaims", {}) == {}


def test_a_deadline_that_has_passed_is_an_error(generated, channel):
    messages, stub = generated["GatewayService"]
    with pytest.raises(grpc.RpcError) as caught:
        stub(channel).ListGateways(messages.ListGatewaysRequest(), metadata=[("authorization", "Bearer admin-token")], timeout=0)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_method_that_is_not_there_is_unimplemented(channel):
    for path in (f"/{PACKAGE}.GatewayService/BlessGateway", "/nobody.Service/Method"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path)(b"", metadata=[("authorization", "Bearer admin-token")], timeout=CALL_SECONDS)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED, path


def test_many_calls_at_once_on_one_connection(generated, channel):
    messages, stub = generated["GatewayService"]
    method = stub(channel).GetGatewayParameters
    futures = [method.future(messages.GetGatewayParametersRequest(), metadata=[("authorization", "Bearer viewer-token")],
                             timeout=CALL_SECONDS) for _ in range(500)]
    assert {operations.ZONE in future.result().zones for future in futures} == {True}


def test_the_server_and_its_services_are_healthy(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", f"{PACKAGE}.CapacityClaimService", f"{PACKAGE}.DeploymentService", f"{PACKAGE}.GatewayService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=CALL_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody.Service"), timeout=CALL_SECONDS)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_is_enough_to_make_a_call(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert services >= {f"{PACKAGE}.CapacityClaimService", f"{PACKAGE}.DeploymentService", f"{PACKAGE}.GatewayService",
                        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
    pool = descriptor_pool.DescriptorPool(database)
    for name in services:
        assert pool.FindServiceByName(name).methods
    method = pool.FindServiceByName(f"{PACKAGE}.CapacityClaimService").methods_by_name["GetCapacityClaimParameters"]
    answer_class = GetMessageClass(method.output_type)
    answer = channel.unary_unary(f"/{PACKAGE}.CapacityClaimService/{method.name}", response_deserializer=answer_class.FromString)(
        b"", metadata=[("authorization", "Bearer viewer-token")], timeout=CALL_SECONDS)
    assert "gb200-4x" in answer.zone_instance_types[operations.ZONE].instance_ids
