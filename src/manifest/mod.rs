//! What the user wrote: values with places become a `Manifest`, or diagnostics.
pub(crate) mod edit;
