use tidings::DomainEvent;

#[derive(DomainEvent)]
struct NotDebug;

#[derive(DomainEvent)]
union Bits {
    int: u32,
    float: f32,
}

#[derive(Debug, DomainEvent)]
struct Borrowed<'a>(&'a str);

fn main() {}
