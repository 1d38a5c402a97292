package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	kinds "k8s.io/client-go/kubernetes/scheme"
)

// binary reads protobuf as upstream's types.
var binary = newBinary()

func newBinary() runtime.Decoder {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kinds.AddToScheme, apiextensions.AddToScheme, apidiscovery.AddToScheme, metav1.AddMetaToScheme,
	} {
		if err := add(known); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(known).UniversalDeserializer()
}

// decodeAs reads an answer of this content type as JSON would have it; nil where it cannot be read.
func decodeAs(contentType string, body []byte) any {
	switch {
	case !strings.HasPrefix(contentType, runtime.ContentTypeProtobuf):
		return decode(body)
	case strings.Contains(contentType, "stream=watch"):
		return decodeFrames(body)
	default:
		return decodeObject(body)
	}
}

func decodeObject(body []byte) any {
	// The oldest documents name no version.
	object, gvk, err := binary.Decode(body, &schema.GroupVersionKind{Version: "v1"}, nil)
	if err != nil {
		return "not to be decoded: " + err.Error()
	}
	object.GetObjectKind().SetGroupVersionKind(*gvk)
	text, err := json.Marshal(object)
	if err != nil {
		return "not to be written: " + err.Error()
	}
	return decode(text)
}

// decodeFrames reads the events of a watch.
func decodeFrames(body []byte) any {
	reader := protobuf.LengthDelimitedFramer.NewFrameReader(io.NopCloser(bytes.NewReader(body)))
	defer reader.Close()
	events, frame := []any{}, make([]byte, len(body))
	for {
		n, err := reader.Read(frame)
		if err == io.EOF {
			return events
		}
		event := metav1.WatchEvent{}
		if err == nil {
			err = event.Unmarshal(frame[:n])
		}
		if err != nil {
			return append(events, "not to be decoded: "+err.Error())
		}
		events = append(events, map[string]any{"type": event.Type, "object": decodeObject(event.Object.Raw)})
	}
}
