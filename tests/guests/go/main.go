// Fixture guest of the Go SDK. The guests of the other SDKs do the same; tests/sdks.rs says what.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// noGrpcStatus leaves the gRPC status of a local response to the host.
const noGrpcStatus = -1

// The host calls what the SDK exports; main never runs.
func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

// plugin is the plugin as configured.
type plugin struct {
	types.DefaultPluginContext
	header, value, from, to, callout string
	callouts                         proxywasm.MetricCounter
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	config, _ := proxywasm.GetPluginConfiguration()
	p.header = setting(config, "header")
	p.value = setting(config, "value")
	p.from = setting(config, "from")
	p.to = setting(config, "to")
	p.callout = setting(config, "callout")
	if p.header == "" || p.from == "" {
		proxywasm.LogError("configuration refused: needs header and from")
		return types.OnPluginStartStatusFailed
	}
	if p.callout != "" {
		p.callouts = proxywasm.DefineCounterMetric("tour." + p.value + ".callouts")
		if err := proxywasm.SetTickPeriodMilliSeconds(50); err != nil {
			proxywasm.LogErrorf("no ticks: %v", err)
		}
	}
	return types.OnPluginStartStatusOK
}

// setting finds the text under key in flat JSON whose texts hold no escapes.
//
// encoding/json would be right for more, and make the module larger by a third.
func setting(config []byte, key string) string {
	_, rest, _ := strings.Cut(string(config), `"`+key+`":"`)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

func (p *plugin) OnTick() {
	proxywasm.LogInfo(p.value + " ticks")
	_ = proxywasm.SetTickPeriodMilliSeconds(0)
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

// stream is one request and its response.
type stream struct {
	types.DefaultHttpContext
	*plugin
	count uint64
}

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	if reason, err := proxywasm.GetHttpRequestHeader("x-deny"); err == nil {
		return s.deny(reason)
	}
	_ = proxywasm.ReplaceHttpRequestHeader(s.header, s.value)
	if path, err := proxywasm.GetProperty([]string{"request", "path"}); err == nil {
		_ = proxywasm.AddHttpRequestHeader("x-path", string(path))
	}
	now := strconv.FormatInt(time.Now().UnixNano(), 10)
	_ = proxywasm.AddHttpRequestHeader("x-time", now)
	s.count = s.next()
	if s.callout != "" {
		return s.ask()
	}
	return types.ActionContinue
}

func (s *stream) deny(reason string) types.Action {
	proxywasm.LogWarnf("denied: %s", reason)
	headers := [][2]string{{"x-denied-by", s.value}}
	body := []byte("denied: " + reason + "\n")
	if err := proxywasm.SendHttpResponse(403, headers, body, noGrpcStatus); err != nil {
		proxywasm.LogErrorf("no local response: %v", err)
	}
	return types.ActionPause
}

// next counts requests over all workers; 0 where that fails.
func (s *stream) next() uint64 {
	key := "tour/" + s.value
	for range 100 {
		stored, version, err := proxywasm.GetSharedData(key)
		if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
			break
		}
		count, _ := strconv.ParseUint(string(stored), 10, 64)
		count++
		err = proxywasm.SetSharedData(key, strconv.AppendUint(nil, count, 10), version)
		if err == nil {
			return count
		}
		if !errors.Is(err, types.ErrorStatusCasMismatch) {
			break
		}
	}
	proxywasm.LogError("not counted")
	return 0
}

// ask holds the request until another server has answered.
func (s *stream) ask() types.Action {
	headers := [][2]string{{":method", "GET"}, {":path", "/callout"}, {":authority", "tour"}}
	_, err := proxywasm.DispatchHttpCall(s.callout, headers, nil, nil, 5000, s.answered)
	if err != nil {
		proxywasm.LogErrorf("no callout: %v", err)
		return types.ActionContinue
	}
	return types.ActionPause
}

func (s *stream) answered(_, size, _ int) {
	headers, _ := proxywasm.GetHttpCallResponseHeaders()
	for _, header := range headers {
		if header[0] == ":status" {
			_ = proxywasm.ReplaceHttpRequestHeader("x-callout", header[1])
		}
	}
	body, _ := proxywasm.GetHttpCallResponseBody(0, size)
	proxywasm.LogInfof("callout answered with %d bytes", len(body))
	s.callouts.Increment(1)
	_ = proxywasm.ResumeHttpRequest()
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	_ = proxywasm.AddHttpResponseHeader(s.header, s.value)
	_ = proxywasm.AddHttpResponseHeader("x-count", strconv.FormatUint(s.count, 10))
	// The body is going to have another length.
	_ = proxywasm.RemoveHttpResponseHeader("content-length")
	return types.ActionContinue
}

func (s *stream) OnHttpResponseBody(size int, endOfStream bool) types.Action {
	if !endOfStream {
		return types.ActionPause
	}
	if body, err := proxywasm.GetHttpResponseBody(0, size); err == nil {
		body = bytes.ReplaceAll(body, []byte(s.from), []byte(s.to))
		_ = proxywasm.ReplaceHttpResponseBody(body)
	}
	return types.ActionContinue
}

func (s *stream) OnHttpStreamDone() {
	if code, err := proxywasm.GetProperty([]string{"response", "code"}); err == nil {
		proxywasm.LogInfof("finished: %d", binary.LittleEndian.Uint64(code))
	}
}
