//! Random programs and requests.
