//! media-server
