#include "app/api_routes.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace staithe::app {
namespace {

namespace pb = service::pb;
using auth::Role;

service::Caller caller_of(wire::Call call) {
  return {.principal = std::move(call.principal),
          .spelling = call.spelling == wire::Spelling::rest ? service::Spelling::rest
                                                            : service::Spelling::descriptor};
}

// The answer if it can be given on the spot, without waiting for the store.
template <typename Request, typename Response, typename Service>
using AtHand = std::optional<Result<Response>> (Service::*)(const service::Caller&, const Request&);

template <typename Response>
wire::Outcome outcome_of(Result<Response> result) {
  if (!result) return std::move(result).error();
  return wire::MessagePtr(std::make_unique<Response>(*std::move(result)));
}

template <typename Request, typename Response, typename Service>
using Handler = void (Service::*)(const service::Caller&, const Request&, service::Done<Response>);

// Where the services of one package are.
struct Package {
  std::string name;
  std::string path;
};
const Package hosted{"coreweave.inference.v1alpha1", "/v1alpha1/inference/"};
const Package additional{"staithe.v1", "/staithe/v1/"};

// Makes the lines of one service.
template <typename Service>
class Routes {
 public:
  Routes(wire::MethodTable& table, WorkerPool& workers, Service& service, const Package& package,
         const std::string& name, const std::string& collection)
      : table_(table),
        workers_(workers),
        service_(service),
        name_(package.name + "." + name),
        collection_(package.path + collection) {}

  template <typename Request, typename Response>
  Routes& add(std::string method, std::string verb, std::string_view path, Role role,
              Handler<Request, Response, Service> handler,
              AtHand<Request, Response, Service> at_hand = nullptr) {
    wire::Method line;
    line.service = name_;
    line.name = std::move(method);
    line.verb = std::move(verb);
    line.path = collection_ + std::string(path);
    line.role = role;
    line.request = &Request::default_instance();
    line.response = &Response::default_instance();
    line.handle = [&workers = workers_, &service = service_, handler, at_hand](
                      wire::Call call, wire::MessagePtr request, wire::Reply reply) {
      service::Caller caller = caller_of(std::move(call));
      if (at_hand != nullptr) {
        auto found = (service.*at_hand)(caller, static_cast<const Request&>(*request));
        if (found) return reply(outcome_of(*std::move(found)));
      }
      const std::shared_ptr<google::protobuf::Message> shared = std::move(request);
      const bool is_queued =
          workers.submit([&service, handler, caller = std::move(caller), shared, reply] {
            const auto done = [reply](Result<Response> result) {
              reply(outcome_of(std::move(result)));
            };
            (service.*handler)(caller, static_cast<const Request&>(*shared), done);
          });
      if (!is_queued) {
        reply(Error{.code = Code::unavailable,
                    .message = "the server is busy, try again in a moment",
                    .reason = "OVERLOADED",
                    .retry_after_s = 1});
      }
    };
    table_.push_back(std::move(line));
    return *this;
  }

 private:
  wire::MethodTable& table_;
  WorkerPool& workers_;
  Service& service_;
  std::string name_;
  std::string collection_;
};

}  // namespace

wire::MethodTable api_routes(Services& services, WorkerPool& workers) {
  using Claims = service::ClaimService;
  using Gateways = service::GatewayService;
  using Deployments = service::DeploymentService;
  using Nodes = service::NodeService;
  using Insight = service::InsightService;
  using Usage = service::UsageService;
  using Limits = service::LimitService;
  wire::MethodTable table;

  Routes<Claims>(table, workers, services.claims, hosted, "CapacityClaimService", "capacityclaims")
      .add("ListCapacityClaims", "GET", "", Role::viewer, &Claims::list)
      .add("GetCapacityClaim", "GET", "/{id}", Role::viewer, &Claims::get, &Claims::get_at_hand)
      .add("CreateCapacityClaim", "POST", "", Role::admin, &Claims::create)
      .add("UpdateCapacityClaim", "PATCH", "/{id}", Role::admin, &Claims::update)
      .add("DeleteCapacityClaim", "DELETE", "/{id}", Role::admin, &Claims::remove)
      .add("GetCapacityClaimParameters", "GET", "/parameters", Role::viewer, &Claims::parameters);

  Routes<Deployments>(table, workers, services.deployments, hosted, "DeploymentService",
                      "deployments")
      .add("ListDeployments", "GET", "", Role::viewer, &Deployments::list)
      .add("GetDeployment", "GET", "/{id}", Role::viewer, &Deployments::get,
           &Deployments::get_at_hand)
      .add("CreateDeployment", "POST", "", Role::admin, &Deployments::create)
      .add("UpdateDeployment", "PATCH", "/{id}", Role::admin, &Deployments::update)
      .add("DeleteDeployment", "DELETE", "/{id}", Role::admin, &Deployments::remove)
      .add("GetDeploymentParameters", "GET", "/parameters", Role::viewer, &Deployments::parameters);

  Routes<Gateways>(table, workers, services.gateways, hosted, "GatewayService", "gateways")
      .add("ListGateways", "GET", "", Role::viewer, &Gateways::list)
      .add("GetGateway", "GET", "/{id}", Role::viewer, &Gateways::get, &Gateways::get_at_hand)
      .add("CreateGateway", "POST", "", Role::admin, &Gateways::create)
      .add("UpdateGateway", "PATCH", "/{id}", Role::admin, &Gateways::update)
      .add("DeleteGateway", "DELETE", "/{id}", Role::admin, &Gateways::remove)
      .add("GetGatewayParameters", "GET", "/parameters", Role::viewer, &Gateways::parameters);

  Routes<Nodes>(table, workers, services.nodes, additional, "NodeService", "nodes")
      .add("ListNodes", "GET", "", Role::viewer, &Nodes::list)
      .add("GetNode", "GET", "/{id}", Role::viewer, &Nodes::get)
      .add("JoinNode", "POST", "", Role::admin, &Nodes::join)
      .add("DrainNode", "POST", "/{id}/drain", Role::admin, &Nodes::drain)
      .add("ResumeNode", "POST", "/{id}/resume", Role::admin, &Nodes::resume)
      .add("RemoveNode", "DELETE", "/{id}", Role::admin, &Nodes::remove);

  Routes<Insight>(table, workers, services.insight, additional, "InsightService", "")
      .add("ExplainDeployment", "GET", "deployments/{id}/explanation", Role::viewer,
           &Insight::explain)
      .add("PlanDeployment", "POST", "plans/deployment", Role::viewer, &Insight::plan_deployment)
      .add("PlanCapacityClaim", "POST", "plans/capacityclaim", Role::viewer, &Insight::plan_claim);

  Routes<Usage>(table, workers, services.usage, additional, "UsageService", "usage")
      .add("ListUsage", "GET", "", Role::viewer, &Usage::list);

  Routes<Limits>(table, workers, services.limits, additional, "LimitService", "limits")
      .add("ListLimits", "GET", "", Role::viewer, &Limits::list)
      .add("GetLimit", "GET", "/{id}", Role::viewer, &Limits::get)
      .add("SetLimit", "POST", "", Role::admin, &Limits::set)
      .add("DeleteLimit", "DELETE", "/{id}", Role::admin, &Limits::remove);
  return table;
}

}  // namespace staithe::app
