//! The ways to connect, and how connections end.
