//! Switches besides files and commands: a request to the service, a key in Redis, services of Compose, a unit of systemd.

mod compose;
mod http;
mod redis;
mod systemd;

pub use compose::ComposeSwitch;
pub use http::HttpSwitch;
pub use redis::RedisSwitch;
pub use systemd::SystemdSwitch;
