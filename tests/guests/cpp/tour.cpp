// Fixture guest in C++, on the bare ABI. The guests of the SDKs do the same; tests/sdks.rs says
// what.

#include <map>

#include "proxy_wasm.h"

using namespace std::string_literals;

namespace {

// A plugin as configured.
struct Plugin {
    std::string header, value, from, to, callout;
    uint32_t callouts = 0;
};

// A request and its response.
struct Exchange {
    Plugin* plugin = nullptr;
    uint64_t count = 0;
};

std::map<uint32_t, Plugin> plugins;
std::map<uint32_t, Exchange> exchanges;

// Which exchange waits for which callout.
std::map<uint32_t, uint32_t> waiting;

// The text under `key` in flat JSON whose texts hold no escapes.
std::string setting(const std::string& config, const std::string& key) {
    std::string opening = "\"" + key + "\":\"";
    size_t start = config.find(opening);
    if (start == std::string::npos) return {};
    start += opening.size();
    return config.substr(start, config.find('"', start) - start);
}

Action deny(const Plugin& plugin, const std::string& reason) {
    log(Level::Warn, "denied: " + reason);
    std::string body = "denied: " + reason + "\n";
    std::string headers = serialized({{"x-denied-by", plugin.value}});
    std::string details = "denied";
    constexpr uint32_t no_grpc_status = -1;
    proxy_send_local_response(403, details.data(), details.size(), body.data(), body.size(),
                              headers.data(), headers.size(), no_grpc_status);
    return Action::Pause;
}

// Counts requests over all workers; 0 where that fails.
uint64_t next(const Plugin& plugin) {
    std::string key = "tour/" + plugin.value;
    for (int attempt = 0; attempt < 100; ++attempt) {
        Received stored;
        uint32_t version = 0;
        proxy_get_shared_data(key.data(), key.size(), &stored.data, &stored.size, &version);
        uint64_t count = strtoull(stored.text().c_str(), nullptr, 10) + 1;
        std::string value = std::to_string(count);
        Status status =
            proxy_set_shared_data(key.data(), key.size(), value.data(), value.size(), version);
        if (status == Status::Ok) return count;
        if (status != Status::CasMismatch) break;
    }
    log(Level::Error, "not counted");
    return 0;
}

// Holds the request until another server has answered.
Action ask(uint32_t id, const std::string& cluster) {
    std::string headers =
        serialized({{":method", "GET"}, {":path", "/callout"}, {":authority", "tour"}});
    uint32_t token = 0;
    Status status = proxy_http_call(cluster.data(), cluster.size(), headers.data(), headers.size(),
                                    nullptr, 0, nullptr, 0, 5000, &token);
    if (status != Status::Ok) {
        log(Level::Error, "no callout: " + std::to_string(static_cast<uint32_t>(status)));
        return Action::Continue;
    }
    waiting[token] = id;
    return Action::Pause;
}

}  // namespace

EXPORT(proxy_on_context_create) void proxy_on_context_create(uint32_t id, uint32_t parent) {
    if (parent == 0) {
        plugins[id] = {};
    } else {
        exchanges[id] = {&plugins[parent]};
    }
}

EXPORT(proxy_on_configure) bool proxy_on_configure(uint32_t id, size_t size) {
    std::string config = content(Buffer::PluginConfiguration, size);
    Plugin& plugin = plugins[id];
    plugin.header = setting(config, "header");
    plugin.value = setting(config, "value");
    plugin.from = setting(config, "from");
    plugin.to = setting(config, "to");
    plugin.callout = setting(config, "callout");
    if (plugin.header.empty() || plugin.from.empty()) {
        log(Level::Error, "configuration refused: needs header and from");
        return false;
    }
    if (!plugin.callout.empty()) {
        std::string name = "tour." + plugin.value + ".callouts";
        proxy_define_metric(Metric::Counter, name.data(), name.size(), &plugin.callouts);
        proxy_set_tick_period_milliseconds(50);
    }
    return true;
}

EXPORT(proxy_on_tick) void proxy_on_tick(uint32_t id) {
    log(Level::Info, plugins[id].value + " ticks");
    proxy_set_tick_period_milliseconds(0);
}

EXPORT(proxy_on_request_headers)
Action proxy_on_request_headers(uint32_t id, uint32_t END_OF_STREAM) {
    Exchange& exchange = exchanges[id];
    const Plugin& plugin = *exchange.plugin;
    std::string reason = header(Map::RequestHeaders, "x-deny");
    if (!reason.empty()) return deny(plugin, reason);
    replace_header(Map::RequestHeaders, plugin.header, plugin.value);
    add_header(Map::RequestHeaders, "x-path", property("request\0path"s));
    uint64_t time = 0;
    proxy_get_current_time_nanoseconds(&time);
    add_header(Map::RequestHeaders, "x-time", std::to_string(time));
    exchange.count = next(plugin);
    return plugin.callout.empty() ? Action::Continue : ask(id, plugin.callout);
}

EXPORT(proxy_on_http_call_response)
void proxy_on_http_call_response(uint32_t, uint32_t token, uint32_t, size_t size, uint32_t) {
    auto call = waiting.extract(token);
    if (call.empty()) return;
    // From here on for the stream; this is called for the plugin.
    proxy_set_effective_context(call.mapped());
    std::string status = header(Map::CallResponseHeaders, ":status");
    std::string body = content(Buffer::CallResponseBody, size);
    log(Level::Info, "callout answered with " + std::to_string(body.size()) + " bytes");
    replace_header(Map::RequestHeaders, "x-callout", status);
    proxy_increment_metric(exchanges[call.mapped()].plugin->callouts, 1);
#ifdef ABI_0_1_0
    proxy_continue_request();
#else
    proxy_continue_stream(Stream::Request);
#endif
}

EXPORT(proxy_on_response_headers)
Action proxy_on_response_headers(uint32_t id, uint32_t END_OF_STREAM) {
    const Exchange& exchange = exchanges[id];
    add_header(Map::ResponseHeaders, exchange.plugin->header, exchange.plugin->value);
    add_header(Map::ResponseHeaders, "x-count", std::to_string(exchange.count));
    // The body is going to have another length.
    std::string_view length = "content-length";
    proxy_remove_header_map_value(Map::ResponseHeaders, length.data(), length.size());
    return Action::Continue;
}

EXPORT(proxy_on_response_body)
Action proxy_on_response_body(uint32_t id, size_t size, uint32_t end_of_stream) {
    if (!end_of_stream) return Action::Pause;
    const Plugin& plugin = *exchanges[id].plugin;
    std::string body = content(Buffer::ResponseBody, size), rewritten;
    size_t start = 0;
    for (size_t found; (found = body.find(plugin.from, start)) != std::string::npos;
         start = found + plugin.from.size()) {
        rewritten.append(body, start, found - start).append(plugin.to);
    }
    rewritten.append(body, start);
    proxy_set_buffer_bytes(Buffer::ResponseBody, 0, size, rewritten.data(), rewritten.size());
    return Action::Continue;
}

EXPORT(proxy_on_log) void proxy_on_log(uint32_t) {
    std::string code = property("response\0code"s);
    uint64_t number = 0;
    if (code.size() == sizeof number) memcpy(&number, code.data(), sizeof number);
    log(Level::Info, "finished: " + std::to_string(number));
}

EXPORT(proxy_on_delete) void proxy_on_delete(uint32_t id) {
    exchanges.erase(id);
    plugins.erase(id);
}
