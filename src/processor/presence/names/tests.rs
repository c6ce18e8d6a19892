use super::*;

#[test]
fn a_name_is_stored_once_and_freed_with_its_last_use() {
    let mut names = Names::default();
    let gateway = names.take(Some("gw-1"));
    assert_eq!(names.take(Some("gw-1")), gateway);
    names.give_back(gateway);
    assert_eq!(names.find("gw-1"), Some(gateway));
    names.give_back(gateway);
    assert_eq!(names.find("gw-1"), None);
    assert_eq!(names.take(Some("gw-2")), gateway, "the room is used again");
    assert_eq!(names.iter().collect::<Vec<_>>(), [(gateway, "gw-2")]);
}

#[test]
fn no_name_needs_no_room() {
    let mut names = Names::default();
    assert_eq!(names.take(None), NO_NAME);
    names.give_back(NO_NAME);
    assert_eq!(names.get(NO_NAME), None);
}
