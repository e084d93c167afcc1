//! What fuzz targets share.

pub mod decoder;
pub mod state;
