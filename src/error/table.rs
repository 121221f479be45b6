//! Rows in aligned columns, for errors and terminals.

/// Lines of the rows' cells, each column as wide as its widest cell; no spaces at the ends.
pub(crate) fn aligned<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.as_ref().get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &R| {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["topic", "is"], ["users", "6"], ["ü", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "topic  is\nusers  6\nü");
        assert_eq!(aligned::<[String; 0]>(&[]), "");
    }
}
