package main

import (
	"slices"
	"time"

	api "buf.build/gen/go/coreweave/inference/protocolbuffers/go/coreweave/inference/v1alpha1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func claimRequest() *api.CreateCapacityClaimRequest {
	return &api.CreateCapacityClaimRequest{Name: "claim", Resources: &api.CapacityClaimResources{
		InstanceId: "gb200-4x", InstanceCount: 1, CapacityType: api.CapacityType_CAPACITY_TYPE_MANAGED, Zones: []string{zone}}}
}

func makeClaim(admin client) string {
	offered := must(admin.claims.GetCapacityClaimParameters, &api.GetCapacityClaimParametersRequest{})
	expect(slices.Contains(offered.ZoneInstanceTypes[zone].GetInstanceIds(), "gb200-4x"), "gb200-4x is not offered: %v", offered)
	equal(len(must(admin.claims.ListCapacityClaims, &api.ListCapacityClaimsRequest{}).CapacityClaims), 0, "claims at first")

	request := claimRequest()
	claim := must(admin.claims.CreateCapacityClaim, request).CapacityClaim
	id := claim.Spec.Id
	equal(claim.Spec.Name, "claim", "the claim's name")
	equal(claim.Spec.OrganizationId, "cw1a2b", "the claim's organization")
	equal(claim.Spec.Resources.CapacityType, api.CapacityType_CAPACITY_TYPE_MANAGED, "the claim's capacity type")
	equal(claim.Status.Status, api.Status_STATUS_CREATING, "a new claim's status")
	equal(claim.Status.PendingInstances, uint32(1), "a new claim's pending instances")
	get := func() *api.CapacityClaim {
		return must(admin.claims.GetCapacityClaim, &api.GetCapacityClaimRequest{Id: id}).CapacityClaim
	}
	until("the claim", func() bool { return get().Status.Status == api.Status_STATUS_READY })
	ready := get()
	equal(ready.Status.AllocatedInstances, uint32(1), "a ready claim's instances")
	equal(ready.Status.Conditions[0].Type, "Ready", "the first condition")
	equal(ready.Status.Conditions[0].Status, api.Condition_STATUS_TRUE, "the first condition's status")

	request.Resources.InstanceCount = 2
	grown := must(admin.claims.UpdateCapacityClaim, &api.UpdateCapacityClaimRequest{Id: id, Resources: request.Resources}).CapacityClaim
	equal(grown.Spec.Resources.InstanceCount, uint32(2), "the grown claim")
	expect(grown.Status.UpdatedAt.AsTime().After(claim.Status.CreatedAt.AsTime()), "the update left the time as it was")
	listed := must(admin.claims.ListCapacityClaims, &api.ListCapacityClaimsRequest{
		UpdatedAfter: timestamppb.New(claim.Status.CreatedAt.AsTime().Add(-time.Second))}).CapacityClaims
	equal(len(listed), 1, "claims updated since")
	equal(listed[0].Spec.Id, id, "the listed claim")
	later := timestamppb.New(claim.Status.CreatedAt.AsTime().Add(time.Hour))
	equal(len(must(admin.claims.ListCapacityClaims, &api.ListCapacityClaimsRequest{UpdatedAfter: later}).CapacityClaims), 0, "claims of the future")
	return id
}

func gatewayRequest() *api.CreateGatewayRequest {
	return &api.CreateGatewayRequest{Name: "gateway", Zones: []string{zone},
		Auth: &api.CreateGatewayRequest_CoreWeaveAuth{CoreWeaveAuth: &api.CoreWeaveAuth{}},
		Routing: &api.CreateGatewayRequest_BodyBasedRouting{
			BodyBasedRouting: &api.BodyBasedRouting{ApiType: api.BodyBasedRouting_API_TYPE_OPENAI}}}
}

func makeGateway(admin client) string {
	offered := must(admin.gateways.GetGatewayParameters, &api.GetGatewayParametersRequest{})
	expect(slices.Contains(offered.Zones, zone), "%s is not offered: %v", zone, offered)

	gateway := must(admin.gateways.CreateGateway, gatewayRequest()).Gateway
	id := gateway.Spec.Id
	expect(gateway.Spec.GetCoreWeaveAuth() != nil, "the auth is lost: %v", gateway)
	equal(gateway.Spec.GetBodyBasedRouting().GetApiType(), api.BodyBasedRouting_API_TYPE_OPENAI, "the routing")
	equal(len(gateway.Status.Endpoints), 1, "a new gateway's endpoints")

	changed := must(admin.gateways.UpdateGateway, &api.UpdateGatewayRequest{Id: id, Name: "gateway", Zones: []string{zone},
		Auth: &api.UpdateGatewayRequest_CoreWeaveAuth{CoreWeaveAuth: &api.CoreWeaveAuth{}},
		Routing: &api.UpdateGatewayRequest_HeaderBasedRouting{
			HeaderBasedRouting: &api.HeaderBasedRouting{HeaderName: "X-Model-Name"}}}).Gateway
	equal(changed.Spec.GetHeaderBasedRouting().GetHeaderName(), "X-Model-Name", "the new routing")
	expect(changed.Spec.GetBodyBasedRouting() == nil, "the old routing stayed: %v", changed)
	until("the gateway", func() bool {
		seen := must(admin.gateways.GetGateway, &api.GetGatewayRequest{Id: id}).Gateway
		return seen.Status.Status == api.Status_STATUS_READY
	})
	listed := must(admin.gateways.ListGateways, &api.ListGatewaysRequest{}).Items
	equal(len(listed), 1, "gateways")
	equal(listed[0].Spec.Id, id, "the listed gateway")
	return id
}

func deploymentRequest(gatewayID string) *api.CreateDeploymentRequest {
	return &api.CreateDeploymentRequest{Name: "deployment", GatewayIds: []string{gatewayID},
		Runtime: &api.DeploymentRuntime{Engine: "vllm", Version: "0.8.5",
			EngineEnv: map[string]string{"VLLM_LOGGING_LEVEL": "INFO"}},
		Resources:   &api.DeploymentResources{InstanceType: "gb200-4x", GpuCount: 1},
		Model:       &api.DeploymentModel{Name: "meta/llama", Bucket: "models", Path: "llama"},
		Autoscaling: &api.DeploymentAutoscaling{Min: 1, Max: 2},
		Traffic:     &api.DeploymentTraffic{}}
}

func makeDeployment(admin client, gatewayID string) string {
	offered := must(admin.deployments.GetDeploymentParameters, &api.GetDeploymentParametersRequest{GatewayIds: []string{gatewayID}})
	equal(offered.GatewayIds, []string{gatewayID}, "the gateways of the parameters")
	versions := offered.RuntimeParameters.GetRuntimeVersions()["vllm"].GetVersions()
	expect(slices.Contains(versions, "0.8.5"), "vllm 0.8.5 is not offered: %v", offered)

	request := deploymentRequest(gatewayID)
	deployment := must(admin.deployments.CreateDeployment, request).Deployment
	id := deployment.Spec.Id
	equal(deployment.Spec.Runtime.EngineEnv, request.Runtime.EngineEnv, "the engine's environment")
	equal(deployment.Status.Status, api.Status_STATUS_CREATING, "a new deployment's status")
	until("the deployment", func() bool {
		seen := must(admin.deployments.GetDeployment, &api.GetDeploymentRequest{Id: id}).Deployment
		return seen.Status.Status == api.Status_STATUS_READY
	})
	changed := must(admin.deployments.UpdateDeployment, &api.UpdateDeploymentRequest{Id: id, Name: request.Name,
		GatewayIds: request.GatewayIds, Runtime: request.Runtime, Resources: request.Resources, Model: request.Model,
		Autoscaling: request.Autoscaling, Traffic: &api.DeploymentTraffic{Weight: 50}}).Deployment
	equal(changed.Spec.Traffic.Weight, uint32(50), "the new weight")
	listed := must(admin.deployments.ListDeployments, &api.ListDeploymentsRequest{ParentGatewayId: gatewayID}).Items
	equal(len(listed), 1, "deployments of the gateway")
	equal(listed[0].Spec.Id, id, "the listed deployment")
	return id
}

func deleteAll(admin client, claimID, gatewayID, deploymentID string) {
	deployment := must(admin.deployments.DeleteDeployment, &api.DeleteDeploymentRequest{Id: deploymentID}).Deployment
	gateway := must(admin.gateways.DeleteGateway, &api.DeleteGatewayRequest{Id: gatewayID}).Gateway
	claim := must(admin.claims.DeleteCapacityClaim, &api.DeleteCapacityClaimRequest{Id: claimID}).CapacityClaim
	equal(deployment.Status.Status, api.Status_STATUS_DELETING, "a deleted deployment's status")
	equal(gateway.Status.Status, api.Status_STATUS_DELETING, "a deleted gateway's status")
	equal(claim.Status.Status, api.Status_STATUS_DELETING, "a deleted claim's status")
	untilGone(admin.deployments.GetDeployment, &api.GetDeploymentRequest{Id: deploymentID})
	untilGone(admin.gateways.GetGateway, &api.GetGatewayRequest{Id: gatewayID})
	untilGone(admin.claims.GetCapacityClaim, &api.GetCapacityClaimRequest{Id: claimID})
}
