package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"buf.build/gen/go/coreweave/inference/connectrpc/go/coreweave/inference/v1alpha1/inferencev1alpha1connect"
	"connectrpc.com/connect"
)

// How to talk to the server.
type wire struct {
	url         string
	protocol    string
	httpVersion int
	codec       string
	gzip        bool
	authorities string
}

func (w wire) String() string {
	compression := "identity"
	if w.gzip {
		compression = "gzip"
	}
	return fmt.Sprintf("%s %s %s HTTP/%d", w.protocol, w.codec, compression, w.httpVersion)
}

// The three services, as one user of the API.
type client struct {
	claims      inferencev1alpha1connect.CapacityClaimServiceClient
	gateways    inferencev1alpha1connect.GatewayServiceClient
	deployments inferencev1alpha1connect.DeploymentServiceClient
}

type dialer struct {
	url        string
	http       *http.Client
	options    []connect.ClientOption
	operations *operations
}

func (w wire) dialer() (*dialer, error) {
	transport, err := w.transport()
	if err != nil {
		return nil, err
	}
	d := &dialer{url: w.url, http: &http.Client{Transport: transport}, operations: newOperations()}
	switch w.protocol {
	case "connect":
	case "grpc":
		d.options = append(d.options, connect.WithGRPC())
	case "grpcweb":
		d.options = append(d.options, connect.WithGRPCWeb())
	default:
		return nil, fmt.Errorf("unknown protocol %q", w.protocol)
	}
	switch w.codec {
	case "proto":
	case "json":
		d.options = append(d.options, connect.WithProtoJSON())
	default:
		return nil, fmt.Errorf("unknown codec %q", w.codec)
	}
	if w.gzip {
		d.options = append(d.options, connect.WithSendGzip())
	}
	return d, nil
}

func (w wire) transport() (http.RoundTripper, error) {
	protocols := new(http.Protocols)
	switch w.httpVersion {
	case 1:
		protocols.SetHTTP1(true)
	case 2:
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("unknown HTTP version %d", w.httpVersion)
	}
	transport := &http.Transport{Protocols: protocols}
	if w.authorities != "" {
		pem, err := os.ReadFile(w.authorities)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", w.authorities)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &watchedTransport{inner: transport, wire: w}, nil
}

// Checks that each exchange went over the wanted HTTP version with the wanted compression, so that a client that falls
// back unseen proves nothing.
type watchedTransport struct {
	inner http.RoundTripper
	wire  wire
}

type impatience struct{}

// The deadline of a call with this context has passed when it reaches the server, while the client waits on.
func withPassedDeadline(ctx context.Context) context.Context {
	return context.WithValue(ctx, impatience{}, true)
}

func (t *watchedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	field := "Grpc-Timeout"
	if t.wire.protocol == "connect" {
		field = "Connect-Timeout-Ms"
	}
	if request.Header.Get(field) == "" {
		return nil, fmt.Errorf("the client sends no %s", field)
	}
	if request.Context().Value(impatience{}) != nil {
		request.Header.Set("Grpc-Timeout", "1n")
	}
	encoding := request.Header.Get("Grpc-Encoding") + request.Header.Get("Content-Encoding")
	if isGzip := encoding == "gzip"; isGzip != t.wire.gzip && request.ContentLength != 0 {
		return nil, fmt.Errorf("the client sends encoding %q", encoding)
	}
	response, err := t.inner.RoundTrip(request)
	if err == nil && response.ProtoMajor != t.wire.httpVersion {
		return nil, fmt.Errorf("answered over %s, not HTTP/%d", response.Proto, t.wire.httpVersion)
	}
	return response, err
}

// An empty token sends none.
func (d *dialer) connect(token string) client {
	authorize := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			if token != "" {
				request.Header().Set("Authorization", "Bearer "+token)
			}
			response, err := next(ctx, request)
			d.operations.record(request.Spec().Procedure, err)
			return response, err
		}
	})
	options := append([]connect.ClientOption{connect.WithInterceptors(authorize)}, d.options...)
	return client{
		claims:      inferencev1alpha1connect.NewCapacityClaimServiceClient(d.http, d.url, options...),
		gateways:    inferencev1alpha1connect.NewGatewayServiceClient(d.http, d.url, options...),
		deployments: inferencev1alpha1connect.NewDeploymentServiceClient(d.http, d.url, options...),
	}
}
