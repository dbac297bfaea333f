//! The contract in `wit/`, as pages: every interface with its words and functions.

use std::fmt::Write;
use std::path::Path;

use wit_parser::{Docs, Function, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, World, WorldItem};

use crate::Outcome;

/// Reads the package and writes it as Markdown.
pub(crate) fn render(directory: &Path) -> Outcome<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(directory)
        .map_err(|error| format!("cannot read {}: {error:#}", directory.display()))?;
    let package = &resolve.packages[package];
    let mut book = Book { resolve: &resolve, page: format!("Package `{}`.\n\n", package.name) };
    for world in package.worlds.values() {
        book.world(&resolve.worlds[*world])?;
    }
    for interface in package.interfaces.values() {
        book.interface(&resolve.interfaces[*interface])?;
    }
    Ok(book.page)
}

struct Book<'a> {
    resolve: &'a Resolve,
    page: String,
}

impl Book<'_> {
    fn world(&mut self, world: &World) -> Outcome<()> {
        write!(self.page, "## World `{}`\n\n", world.name)?;
        self.docs(&world.docs)?;
        for (does, items) in [("gets", &world.imports), ("offers", &world.exports)] {
            let mut names: Vec<String> =
                items.values().filter_map(|item| self.interface_link(item)).collect();
            names.sort();
            write!(self.page, "A plugin {does}: {}.\n\n", names.join(", "))?;
        }
        Ok(())
    }

    fn interface_link(&self, item: &WorldItem) -> Option<String> {
        let WorldItem::Interface { id, .. } = item else { return None };
        let name = self.resolve.interfaces[*id].name.as_deref()?;
        Some(format!("[`{name}`](#interface-{name})"))
    }

    fn interface(&mut self, interface: &Interface) -> Outcome<()> {
        let name = interface.name.as_deref().unwrap_or_default();
        write!(self.page, "## Interface `{name}`\n\n")?;
        self.docs(&interface.docs)?;
        for id in interface.types.values() {
            self.definition(&self.resolve.types[*id])?;
        }
        for function in interface.functions.values() {
            self.function(function)?;
        }
        Ok(())
    }

    /// A word that is only taken from another interface is explained there.
    fn definition(&mut self, word: &TypeDef) -> Outcome<()> {
        let name = word.name.as_deref().unwrap_or_default();
        if let TypeDefKind::Type(Type::Id(other)) = word.kind
            && self.resolve.types[other].name.as_deref() == Some(name)
        {
            return Ok(());
        }
        write!(self.page, "### {} `{name}`\n\n", word.kind.as_str())?;
        self.docs(&word.docs)?;
        match &word.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                self.rows(fields.map(|field| (&*field.name, Some(&field.ty), &field.docs)))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                self.rows(cases.map(|case| (&*case.name, case.ty.as_ref(), &case.docs)))
            }
            TypeDefKind::Enum(words) => {
                self.rows(words.cases.iter().map(|case| (&*case.name, None, &case.docs)))
            }
            TypeDefKind::Flags(flags) => {
                self.rows(flags.flags.iter().map(|flag| (&*flag.name, None, &flag.docs)))
            }
            TypeDefKind::Resource => Ok(()),
            _ => Ok(write!(self.page, "```wit\n{}\n```\n\n", self.kind(&word.kind))?),
        }
    }

    fn rows<'r>(&mut self, rows: impl Iterator<Item = (&'r str, Option<&'r Type>, &'r Docs)>) -> Outcome<()> {
        let mut lines = String::new();
        for (name, held, docs) in rows {
            let held = held.map(|held| format!("`{}`", self.name(held))).unwrap_or_default();
            let docs = docs.contents.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            writeln!(lines, "| `{name}` | {held} | {} |", docs.join(" ").replace('|', "\\|"))?;
        }
        Ok(write!(self.page, "| | | |\n|---|---|---|\n{lines}\n")?)
    }

    fn function(&mut self, function: &Function) -> Outcome<()> {
        let name = function.name.rsplit(']').next().unwrap_or_default();
        let parameters: Vec<String> = function
            .params
            .iter()
            .filter(|parameter| parameter.name != "self")
            .map(|parameter| format!("{}: {}", parameter.name, self.name(&parameter.ty)))
            .collect();
        let result = function.result.map(|result| format!(" -> {}", self.name(&result))).unwrap_or_default();
        write!(
            self.page,
            "### function `{name}`\n\n```wit\n{name}: func({}){result}\n```\n\n",
            parameters.join(", ")
        )?;
        self.docs(&function.docs)
    }

    fn docs(&mut self, docs: &Docs) -> Outcome<()> {
        let text = docs.contents.as_deref().unwrap_or_default().trim();
        if !text.is_empty() {
            write!(self.page, "{text}\n\n")?;
        }
        Ok(())
    }

    fn name(&self, held: &Type) -> String {
        let Type::Id(id) = held else { return primitive(held).to_owned() };
        let word = &self.resolve.types[*id];
        word.name.clone().unwrap_or_else(|| self.kind(&word.kind))
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        let or_nothing = |held: &Option<Type>| held.map_or_else(|| "_".to_owned(), |held| self.name(&held));
        match kind {
            TypeDefKind::Option(held) => format!("option<{}>", self.name(held)),
            TypeDefKind::List(held) => format!("list<{}>", self.name(held)),
            TypeDefKind::Tuple(tuple) => {
                let parts: Vec<String> = tuple.types.iter().map(|part| self.name(part)).collect();
                format!("tuple<{}>", parts.join(", "))
            }
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err))
            }
            TypeDefKind::Handle(Handle::Borrow(id) | Handle::Own(id)) => {
                let resource = self.resolve.types[*id].name.clone().unwrap_or_default();
                format!("{}<{resource}>", kind.as_str())
            }
            TypeDefKind::Type(held) => self.name(held),
            other => other.as_str().to_owned(),
        }
    }
}

fn primitive(held: &Type) -> &'static str {
    match held {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_words_and_functions_come_with_their_docs() {
        let directory = tempfile::tempdir().unwrap();
        let text = "package a:b@0.1.0;\n/// About all.\ninterface words {\n/// A pair.\n\
                    record pair { /// The left.\n left: option<string>, right: list<u8> }\n\
                    /// Joins.\njoin: func(p: pair) -> result<string>;\n}\n\
                    world w { import words; }\n";
        std::fs::write(directory.path().join("a.wit"), text).unwrap();
        let page = render(directory.path()).unwrap();
        for part in [
            "## World `w`",
            "A plugin gets: [`words`](#interface-words).",
            "## Interface `words`\n\nAbout all.",
            "### record `pair`\n\nA pair.",
            "| `left` | `option<string>` | The left. |",
            "join: func(p: pair) -> result<string, _>",
            "Joins.",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
    }

    #[test]
    fn the_repository_s_own_contract_can_be_read() {
        let page = render(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
        assert!(page.contains("## World `instruction-plugin`"), "{page}");
    }
}
