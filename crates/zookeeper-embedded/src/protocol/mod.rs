//! ZooKeeper's client protocol: records, requests, replies and error codes. Pure: no sockets, clocks or tasks.
//!
//! ```text
//! frame ─► ConnectRequest::decode, RequestFrame::read       (request)
//! ConnectResponse, Reply, Event ─► encode ─► frame          (reply)
//! ```

pub(crate) mod acl;
pub(crate) mod code;
pub(crate) mod jute;
pub(crate) mod reply;
pub(crate) mod request;
