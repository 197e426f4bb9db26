import xml.etree.ElementTree as ET

from med42lib.inspection.documents import record_of_json, record_of_xml, words_of

HEADQA = {
    "version": "1.0",
    "exams": {
        "first": {"name": "first", "data": [{"qtext": "What is fever?"}, {"qtext": "What is asthma?"}]},
        "second": {"name": "second", "data": [{"qtext": "What is scurvy?", "answers": [{"atext": "rickets"}]}]},
    },
}
PUBMEDQA = {"17": {"QUESTION": "Do cats purr?"}, "4": {"QUESTION": "Do dogs bark?"}}
NIV2 = {
    "Definition": ["Answer."],
    "Positive Examples": [{"input": "one plus one", "output": "two"}, {"input": "two plus two", "output": "four"}],
    "Instances": [{"input": "three plus three", "output": ["six"]}, {"input": "four plus four", "output": ["eight"]}],
}
MEDQUAD = ET.fromstring(
    '<Document id="1"><Focus>asthma</Focus><QAPairs>'
    '<QAPair pid="1"><Question qid="1-1">What is asthma ?</Question><Answer>A disease.</Answer></QAPair>'
    '<QAPair pid="2"><Question qid="1-2">Who gets asthma ?</Question><Answer>Anyone.</Answer></QAPair>'
    "</QAPairs></Document>"
)


def test_an_element_of_a_list_is_taken_by_its_number() -> None:
    assert record_of_json(["a", "b"], 2, words_of("a")) == "b"
    assert record_of_json(["a", "b"], 3, words_of("a")) is None


def test_records_are_counted_through_the_exams_they_are_grouped_in() -> None:
    assert record_of_json(HEADQA, 2, words_of("What is asthma?")) == {"qtext": "What is asthma?"}
    assert record_of_json(HEADQA, 3, words_of("What is scurvy?"))["qtext"] == "What is scurvy?"  # type: ignore[index]


def test_records_of_an_object_are_counted_by_its_keys() -> None:
    assert record_of_json(PUBMEDQA, 2, words_of("Do dogs bark?", "no")) == {"QUESTION": "Do dogs bark?"}


def test_of_two_lists_the_one_with_the_examples_words_is_meant() -> None:
    assert record_of_json(NIV2, 2, words_of("four plus four", "eight")) == NIV2["Instances"][1]
    assert record_of_json(NIV2, 2, words_of("two plus two", "four")) == NIV2["Positive Examples"][1]


def test_a_number_or_words_that_are_nowhere_give_nothing() -> None:
    assert record_of_json(NIV2, 9, words_of("four")) is None
    assert record_of_json(PUBMEDQA, 1, words_of("unheard")) is None
    assert record_of_xml(MEDQUAD, 9, words_of("asthma")) is None


def test_an_xml_record_is_the_element_with_question_and_answer() -> None:
    first = record_of_xml(MEDQUAD, 1, words_of("What is asthma ?", "A disease."))
    second = record_of_xml(MEDQUAD, 2, words_of("Who gets asthma ?", "Anyone."))
    assert first is not None
    assert second is not None
    assert (first.get("pid"), second.get("pid")) == ("1", "2")


def test_an_only_record_is_taken_and_not_the_elements_around_it() -> None:
    root = ET.fromstring('<D id="1"><QAPairs><QAPair pid="1"><Q>fever</Q><A>heat</A></QAPair></QAPairs></D>')
    record = record_of_xml(root, 1, words_of("fever", "heat"))
    assert record is not None
    assert record.tag == "QAPair"


def test_without_any_attributes_words_alone_decide() -> None:
    root = ET.fromstring("<D><P><Q>fever</Q><A>heat</A></P><P><Q>cough</Q><A>air</A></P></D>")
    record = record_of_xml(root, 2, words_of("cough", "air"))
    assert record is not None
    assert record.findtext("Q") == "cough"
