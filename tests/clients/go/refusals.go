package main

import (
	"context"

	api "buf.build/gen/go/coreweave/inference/protocolbuffers/go/coreweave/inference/v1alpha1"
	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

const (
	unknownID = "0a0a0a0a-0000-4000-8000-00000000dead"
	oddText   = "naïve → 100% “β”"
)

// Errors have to arrive as themselves: code, message and details.
func checkRefusals(admin, viewer, stranger, anonymous client, gatewayID, deploymentID string) {
	notFound(refused(connect.CodeNotFound, admin.claims.GetCapacityClaim, &api.GetCapacityClaimRequest{Id: unknownID}), "capacity claim")
	notFound(refused(connect.CodeNotFound, admin.gateways.GetGateway, &api.GetGatewayRequest{Id: unknownID}), "gateway")
	notFound(refused(connect.CodeNotFound, admin.deployments.DeleteDeployment, &api.DeleteDeploymentRequest{Id: unknownID}), "deployment")

	invalid := refused(connect.CodeInvalidArgument, admin.claims.CreateCapacityClaim, &api.CreateCapacityClaimRequest{})
	equal(invalid.Message(), "name is required", "the message of an empty create")
	violations := detail[*errdetails.BadRequest](invalid).FieldViolations
	equal(len(violations), 2, "violations of an empty create")
	equal(violations[0].Field, "name", "the first violation's field")
	equal(violations[1].Field, "resources", "the second violation's field")
	// Text beyond ASCII comes back unharmed, however the protocol has to write it.
	odd := claimRequest()
	odd.Name, odd.Resources.InstanceId = "odd", oddText
	hasPart(refused(connect.CodeInvalidArgument, admin.claims.CreateCapacityClaim, odd).Message(), oddText)

	taken := refused(connect.CodeAlreadyExists, admin.gateways.CreateGateway, gatewayRequest())
	equal(taken.Message(), `a gateway named "gateway" already exists`, "the message of a taken name")
	equal(detail[*errdetails.ResourceInfo](taken).ResourceName, gatewayID, "the name's holder")

	inUse := refused(connect.CodeFailedPrecondition, admin.gateways.DeleteGateway, &api.DeleteGatewayRequest{Id: gatewayID})
	precondition := detail[*errdetails.PreconditionFailure](inUse).Violations
	equal(len(precondition), 1, "deployments in the way")
	equal(precondition[0].Type, "GATEWAY_IN_USE", "the precondition's type")
	equal(precondition[0].Subject, deploymentID, "the precondition's subject")

	equal(len(must(viewer.gateways.ListGateways, &api.ListGatewaysRequest{}).Items), 1, "gateways a viewer sees")
	role := "the Inference Admin role is required"
	equal(refused(connect.CodePermissionDenied, viewer.gateways.DeleteGateway, &api.DeleteGatewayRequest{Id: gatewayID}).Message(), role, "a viewer's refusal")
	equal(refused(connect.CodePermissionDenied, viewer.claims.CreateCapacityClaim, claimRequest()).Message(), role, "a viewer's refusal")

	token := "missing or invalid API access token"
	equal(refused(connect.CodeUnauthenticated, stranger.gateways.ListGateways, &api.ListGatewaysRequest{}).Message(), token, "a stranger's refusal")
	equal(refused(connect.CodeUnauthenticated, anonymous.claims.GetCapacityClaimParameters, &api.GetCapacityClaimParametersRequest{}).Message(), token, "a refusal without a token")
}

func notFound(refusal *connect.Error, kind string) {
	equal(refusal.Message(), kind+" "+unknownID+" not found", "the message")
	info := detail[*errdetails.ResourceInfo](refusal)
	equal(info.ResourceType, kind, "the resource's type")
	equal(info.ResourceName, unknownID, "the resource's name")
	equal(info.Description, "no "+kind+" with this id", "the description")
}

// A call whose deadline has passed when it arrives is refused for that. Connect's header cannot say less than a millisecond,
// in which a fast server may well answer.
func checkPassedDeadline(admin client) {
	refusedIn(withPassedDeadline(context.Background()), connect.CodeDeadlineExceeded,
		admin.claims.GetCapacityClaimParameters, &api.GetCapacityClaimParametersRequest{})
}
