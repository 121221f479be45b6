use tidings::{Command, Query};

#[derive(Command)]
struct WithoutError;

#[derive(Query)]
#[request(error = String)]
struct WithoutResponse;

#[derive(Command)]
#[request(response = u64, errors = String)]
struct Unknown;

#[derive(Query)]
#[request(response = u64, error = String)]
struct Borrowed<'a>(&'a str);

#[derive(Command)]
#[request(response = u64, error = String)]
union Bits {
    int: u32,
    float: f32,
}

fn main() {}
