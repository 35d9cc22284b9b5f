package main

import (
	"context"
	"errors"
	"log"
	"reflect"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

const (
	callTimeout = 20 * time.Second
	waitMax     = 30 * time.Second
)

// Which operations have succeeded.
type operations struct {
	succeeded map[string]bool
	made      int
}

func newOperations() *operations { return &operations{succeeded: map[string]bool{}} }

func (o *operations) record(procedure string, err error) {
	o.made++
	if err == nil {
		o.succeeded[procedure] = true
	}
}

func (o *operations) count() int { return len(o.succeeded) }
func (o *operations) calls() int { return o.made }

func (o *operations) names() []string {
	var names []string
	for name := range o.succeeded {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type method[Request, Response any] func(context.Context, *connect.Request[Request]) (*connect.Response[Response], error)

func callIn[Request, Response any](ctx context.Context, call method[Request, Response], message *Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := call(ctx, connect.NewRequest(message))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// The answer of a call that has to succeed.
func must[Request, Response any](call method[Request, Response], message *Request) *Response {
	answer, err := callIn(context.Background(), call, message)
	if err != nil {
		log.Fatalf("%T: %v", message, err)
	}
	return answer
}

// The error of a call that has to be refused with this code.
func refused[Request, Response any](code connect.Code, call method[Request, Response], message *Request) *connect.Error {
	return refusedIn(context.Background(), code, call, message)
}

func refusedIn[Request, Response any](ctx context.Context, code connect.Code, call method[Request, Response], message *Request) *connect.Error {
	_, err := callIn(ctx, call, message)
	var refusal *connect.Error
	if !errors.As(err, &refusal) {
		log.Fatalf("%T {%v}: wanted %v, got %v", message, message, code, err)
	}
	equal(refusal.Code(), code, "the code of "+refusal.Error())
	expect(connect.IsWireError(err), "the client made the error itself: %v", err)
	return refusal
}

// The one detail of this type.
func detail[Detail proto.Message](refusal *connect.Error) Detail {
	var found []Detail
	for _, item := range refusal.Details() {
		value, err := item.Value()
		if err != nil {
			log.Fatalf("a detail of type %s cannot be read: %v", item.Type(), err)
		}
		if typed, ok := value.(Detail); ok {
			found = append(found, typed)
		}
	}
	if len(found) != 1 {
		log.Fatalf("%v has %d details of type %T", refusal, len(found), *new(Detail))
	}
	return found[0]
}

func expect(isTrue bool, format string, arguments ...any) {
	if !isTrue {
		log.Fatalf(format, arguments...)
	}
}

func equal(got, want any, what string) {
	if !reflect.DeepEqual(got, want) {
		log.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func hasPart(text, part string) {
	expect(strings.Contains(text, part), "%q does not say %q", text, part)
}

// Looks until it is done.
func until(what string, isDone func() bool) {
	for deadline := time.Now().Add(waitMax); !isDone(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			log.Fatalf("%s took longer than %v", what, waitMax)
		}
	}
}

// Looks until the resource is gone. What else the server may say meanwhile is nothing at all.
func untilGone[Request, Response any](call method[Request, Response], message *Request) {
	until("a delete", func() bool {
		_, err := callIn(context.Background(), call, message)
		expect(err == nil || connect.CodeOf(err) == connect.CodeNotFound, "while deleting: %v", err)
		return err != nil
	})
}
