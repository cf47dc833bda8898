//! What lies in the node for products from the beginning.

/// The namespace of all products.
pub const NAMESPACE: &str = "relapse-products";
/// So many of each: sites, devices and so on.
const SUBJECTS: u32 = 40;
/// There are more zones, so that nobody has read all of them before.
const ZONES: u32 = 400;

/// Every key with its value.
pub fn objects() -> impl Iterator<Item = (String, String)> {
    let single = [
        ("access/certs", "certs"),
        ("access/sessions/release-tool", "release-tool"),
        ("challenge/api.js", "script"),
        ("dashboard/flags", "flags"),
    ];
    let many = [
        ("access/users", "user", SUBJECTS),
        ("access/devices", "fit", SUBJECTS),
        ("ai/gateways", "gateway", SUBJECTS),
        ("graphql/tags", "tag", SUBJECTS),
        ("pages/sites", "page", SUBJECTS),
        ("purge/zones", "zone", ZONES),
        ("room/rooms", "48", SUBJECTS),
    ];
    let single = single.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let many = many.into_iter().flat_map(|(keys, value, subjects)| {
        (0..subjects).map(move |at| (format!("{keys}/{at}"), value.to_owned()))
    });
    single.into_iter().chain(many)
}
