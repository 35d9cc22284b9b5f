// All eighteen operations with the clients that the API's vendor generates for Go, over one protocol, one HTTP version,
// one codec and one compression. Ends with code 0 when every answer was as the contract says.
package main

import (
	"flag"
	"fmt"
	"log"
)

const (
	adminToken  = "admin-token"
	viewerToken = "viewer-token"
	zone        = "US-WEST-04A"
)

func main() {
	log.SetFlags(0)
	var wire wire
	flag.StringVar(&wire.url, "url", "", "base URL of the server")
	flag.StringVar(&wire.protocol, "protocol", "connect", "connect, grpc or grpcweb")
	flag.IntVar(&wire.httpVersion, "http", 1, "1 or 2; 2 is prior knowledge on http:// and ALPN on https://")
	flag.StringVar(&wire.codec, "codec", "proto", "proto or json")
	flag.BoolVar(&wire.gzip, "gzip", false, "compress requests")
	flag.StringVar(&wire.authorities, "ca", "", "PEM file of the certificate authority to trust")
	flag.Parse()

	dialer, err := wire.dialer()
	if err != nil {
		log.Fatal(err)
	}
	admin, viewer := dialer.connect(adminToken), dialer.connect(viewerToken)

	claimID := makeClaim(admin)
	gatewayID := makeGateway(admin)
	deploymentID := makeDeployment(admin, gatewayID)
	checkRefusals(admin, viewer, dialer.connect("nobody"), dialer.connect(""), gatewayID, deploymentID)
	if wire.protocol != "connect" {
		checkPassedDeadline(admin)
	}
	deleteAll(admin, claimID, gatewayID, deploymentID)

	if done := dialer.operations.count(); done != 18 {
		log.Fatalf("%d of 18 operations succeeded: %v", done, dialer.operations.names())
	}
	fmt.Printf("%s: 18 operations in %d calls\n", wire, dialer.operations.calls())
}
