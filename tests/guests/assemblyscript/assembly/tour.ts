// Fixture guest of the AssemblyScript SDK. The guests of the other SDKs do the same; tests/sdks.rs
// says what.

export * from "@solo-io/proxy-runtime/proxy";
import {
  BaseContext, Context, Counter, FilterDataStatusValues, FilterHeadersStatusValues,
  GrpcStatusValues, HeaderPair, Headers, LogLevelValues, RootContext, WasmResultValues,
  log, registerRootContext, send_local_response, stream_context,
} from "@solo-io/proxy-runtime";
import {
  BufferTypeValues, get_buffer_bytes, get_current_time_nanoseconds, get_property,
  set_tick_period_milliseconds,
} from "@solo-io/proxy-runtime/runtime";
import { replaceBuffer, sharedData, setSharedData } from "./host";

// The SDK looks a plugin's factory up by its root id, which is the pluginName of a WasmPlugin.
registerRootContext((id: u32) => new Plugin(id), "tour");

/** The plugin as configured. */
class Plugin extends RootContext {
  header: string = "";
  value: string = "";
  from: string = "";
  to: string = "";
  callout: string = "";
  callouts: Counter | null = null;

  onConfigure(size: u32): bool {
    // Not the SDK's own way: it takes the size for the address where the host is to put the size.
    const bytes = get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size);
    const config = String.UTF8.decode(bytes);
    this.header = setting(config, "header");
    this.value = setting(config, "value");
    this.from = setting(config, "from");
    this.to = setting(config, "to");
    this.callout = setting(config, "callout");
    if (this.header == "" || this.from == "") {
      log(LogLevelValues.error, "configuration refused: needs header and from");
      return false;
    }
    if (this.callout != "") {
      this.callouts = new Counter("tour." + this.value + ".callouts");
      set_tick_period_milliseconds(50);
    }
    return true;
  }

  onTick(): void {
    log(LogLevelValues.info, this.value + " ticks");
    set_tick_period_milliseconds(0);
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

/** The text under `key` in flat JSON whose texts hold no escapes. */
function setting(config: string, key: string): string {
  const opening = '"' + key + '":"';
  let start = config.indexOf(opening);
  if (start < 0) return "";
  start += opening.length;
  return config.substring(start, config.indexOf('"', start));
}

/** One request and its response. */
class Stream extends Context {
  plugin: Plugin;
  count: u64 = 0;

  constructor(id: u32, plugin: Plugin) {
    super(id, plugin);
    this.plugin = plugin;
  }

  onRequestHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.request;
    const reason = headers.get("x-deny");
    if (reason != "") return this.deny(reason);
    headers.replace(this.plugin.header, this.plugin.value);
    headers.add("x-path", String.UTF8.decode(get_property("request\0path")));
    headers.add("x-time", get_current_time_nanoseconds().toString());
    this.count = this.next();
    return this.plugin.callout == "" ? FilterHeadersStatusValues.Continue : this.ask();
  }

  deny(reason: string): FilterHeadersStatusValues {
    log(LogLevelValues.warn, "denied: " + reason);
    const body = String.UTF8.encode("denied: " + reason + "\n");
    const headers = [pair("x-denied-by", this.plugin.value)];
    send_local_response(403, "denied", body, headers, GrpcStatusValues.InvalidCode);
    return FilterHeadersStatusValues.StopIteration;
  }

  /** Counts requests over all workers; 0 where that fails. */
  next(): u64 {
    const key = "tour/" + this.plugin.value;
    for (let attempt = 0; attempt < 100; attempt++) {
      const stored = sharedData(key);
      const count = U64.parseInt("0" + stored.text) + 1;
      const result = setSharedData(key, count.toString(), stored.version);
      if (result == WasmResultValues.Ok) return count;
      if (result != WasmResultValues.CasMismatch) break;
    }
    log(LogLevelValues.error, "not counted");
    return 0;
  }

  /** Holds the request until another server has answered. */
  ask(): FilterHeadersStatusValues {
    const headers = [pair(":method", "GET"), pair(":path", "/callout"), pair(":authority", "tour")];
    const result = this.plugin.httpCall(
      this.plugin.callout, headers, new ArrayBuffer(0), [], 5000, this,
      (origin: BaseContext, _headers: u32, size: usize, _trailers: u32): void => {
        (origin as Stream).answered(size as u32);
      },
    );
    if (result != WasmResultValues.Ok) {
      log(LogLevelValues.error, "no callout: " + result.toString());
      return FilterHeadersStatusValues.Continue;
    }
    return FilterHeadersStatusValues.StopIteration;
  }

  answered(size: u32): void {
    const status = stream_context.headers.http_callback.get(":status");
    stream_context.headers.request.replace("x-callout", status);
    const body = get_buffer_bytes(BufferTypeValues.HttpCallResponseBody, 0, size);
    log(LogLevelValues.info, "callout answered with " + body.byteLength.toString() + " bytes");
    this.plugin.callouts!.increment(1);
    this.continueRequest();
  }

  onResponseHeaders(_count: u32, _end: bool): FilterHeadersStatusValues {
    const headers = stream_context.headers.response;
    headers.add(this.plugin.header, this.plugin.value);
    headers.add("x-count", this.count.toString());
    // The body is going to have another length.
    headers.remove("content-length");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (!end) return FilterDataStatusValues.StopIterationAndBuffer;
    const body = get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, size as u32);
    const text = String.UTF8.decode(body).replaceAll(this.plugin.from, this.plugin.to);
    replaceBuffer(BufferTypeValues.HttpResponseBody, size as u32, String.UTF8.encode(text));
    return FilterDataStatusValues.Continue;
  }

  onLog(): void {
    const code = load<u64>(changetype<usize>(get_property("response\0code")));
    log(LogLevelValues.info, "finished: " + code.toString());
  }
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}
