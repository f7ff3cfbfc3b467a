// The part of the Proxy-Wasm ABI that tour.cpp uses, in C++.
//
// Of version 0.2.1, or of 0.1.0 where ABI_0_1_0 is defined: there, callbacks for headers are not
// told whether the message ends with them, and a request is continued by a function of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))
#define IMPORT(name) extern "C" __attribute__((import_module("env"), import_name(#name)))

#ifdef ABI_0_1_0
EXPORT(proxy_abi_version_0_1_0) void proxy_abi_version() {}
#define END_OF_STREAM
#else
EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version() {}
#define END_OF_STREAM , uint32_t
#endif

enum class Status : uint32_t { Ok = 0, NotFound = 1, CasMismatch = 8 };
enum class Action : uint32_t { Continue = 0, Pause = 1 };
enum class Level : uint32_t { Info = 2, Warn = 3, Error = 4 };
enum class Map : uint32_t { RequestHeaders = 0, ResponseHeaders = 2, CallResponseHeaders = 6 };
enum class Buffer : uint32_t { ResponseBody = 1, CallResponseBody = 4, PluginConfiguration = 7 };
enum class Metric : uint32_t { Counter = 0 };
enum class Stream : uint32_t { Request = 0 };

IMPORT(proxy_log) Status proxy_log(Level, const char*, size_t);
IMPORT(proxy_get_current_time_nanoseconds) Status proxy_get_current_time_nanoseconds(uint64_t*);
IMPORT(proxy_set_tick_period_milliseconds) Status proxy_set_tick_period_milliseconds(uint32_t);
IMPORT(proxy_set_effective_context) Status proxy_set_effective_context(uint32_t);

IMPORT(proxy_get_header_map_value)
Status proxy_get_header_map_value(Map, const char*, size_t, char**, size_t*);
IMPORT(proxy_add_header_map_value)
Status proxy_add_header_map_value(Map, const char*, size_t, const char*, size_t);
IMPORT(proxy_replace_header_map_value)
Status proxy_replace_header_map_value(Map, const char*, size_t, const char*, size_t);
IMPORT(proxy_remove_header_map_value)
Status proxy_remove_header_map_value(Map, const char*, size_t);

IMPORT(proxy_get_buffer_bytes)
Status proxy_get_buffer_bytes(Buffer, size_t, size_t, char**, size_t*);
IMPORT(proxy_set_buffer_bytes)
Status proxy_set_buffer_bytes(Buffer, size_t, size_t, const char*, size_t);

IMPORT(proxy_get_property) Status proxy_get_property(const char*, size_t, char**, size_t*);
IMPORT(proxy_get_shared_data)
Status proxy_get_shared_data(const char*, size_t, char**, size_t*, uint32_t*);
IMPORT(proxy_set_shared_data)
Status proxy_set_shared_data(const char*, size_t, const char*, size_t, uint32_t);

IMPORT(proxy_send_local_response)
Status proxy_send_local_response(uint32_t, const char*, size_t, const char*, size_t, const char*,
                                 size_t, uint32_t);
IMPORT(proxy_http_call)
Status proxy_http_call(const char*, size_t, const char*, size_t, const char*, size_t, const char*,
                       size_t, uint32_t, uint32_t*);
#ifdef ABI_0_1_0
IMPORT(proxy_continue_request) Status proxy_continue_request();
#else
IMPORT(proxy_continue_stream) Status proxy_continue_stream(Stream);
#endif

IMPORT(proxy_define_metric) Status proxy_define_metric(Metric, const char*, size_t, uint32_t*);
IMPORT(proxy_increment_metric) Status proxy_increment_metric(uint32_t, int64_t);

// What the host hands over is from our malloc; owns it until it is copied.
struct Received {
    char* data = nullptr;
    size_t size = 0;

    ~Received() { free(data); }
    std::string text() const { return data ? std::string(data, size) : std::string(); }
};

inline void log(Level level, std::string_view text) {
    proxy_log(level, text.data(), text.size());
}

// An absent header is empty.
inline std::string header(Map map, std::string_view name) {
    Received value;
    proxy_get_header_map_value(map, name.data(), name.size(), &value.data, &value.size);
    return value.text();
}

inline void add_header(Map map, std::string_view name, std::string_view value) {
    proxy_add_header_map_value(map, name.data(), name.size(), value.data(), value.size());
}

inline void replace_header(Map map, std::string_view name, std::string_view value) {
    proxy_replace_header_map_value(map, name.data(), name.size(), value.data(), value.size());
}

inline std::string content(Buffer buffer, size_t size) {
    Received bytes;
    proxy_get_buffer_bytes(buffer, 0, size, &bytes.data, &bytes.size);
    return bytes.text();
}

// `path` has a NUL between its parts. An absent property is empty.
inline std::string property(std::string_view path) {
    Received value;
    proxy_get_property(path.data(), path.size(), &value.data, &value.size);
    return value.text();
}

using Headers = std::vector<std::pair<std::string_view, std::string_view>>;

// Headers as the ABI has them: their number, the sizes of all, then all with a NUL after each text.
inline std::string serialized(const Headers& headers) {
    std::string bytes;
    auto number = [&](uint32_t n) { bytes.append(reinterpret_cast<const char*>(&n), sizeof n); };
    number(headers.size());
    for (auto [name, value] : headers) {
        number(name.size());
        number(value.size());
    }
    for (auto [name, value] : headers) {
        bytes.append(name).push_back('\0');
        bytes.append(value).push_back('\0');
    }
    return bytes;
}
