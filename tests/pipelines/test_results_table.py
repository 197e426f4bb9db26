from pipelines.results_table import results_table
from tests.hostile import UNSEEN, unseen_in

CSV = """benchmark,model,subset,n,correct,accuracy,low,high
medqa,base,all,1273,400,0.314218,0.2,0.4
medqa,full,all,1273,500,0.392773,0.2,0.4
medqa,lora,all,1273,450,0.353496,0.2,0.4
medqa,base,clean,1200,380,0.316667,0.2,0.4
medqa,full,clean,1200,470,0.391667,0.2,0.4
medqa,lora,clean,1200,420,0.350000,0.2,0.4
leaked,base,all,5,1,0.200000,0,1
leaked,full,all,5,5,1.000000,0,1
leaked,lora,all,5,5,1.000000,0,1
leaked,base,clean,0,0,,,
leaked,full,clean,0,0,,,
leaked,lora,clean,0,0,,,
"""


def test_each_benchmark_is_one_line_with_all_and_clean_questions_side_by_side() -> None:
    heading, medqa, leaked = results_table(CSV).splitlines()
    assert heading.split() == ["accuracy,", "%", "all", "base", "full", "lora", "clean", "base", "full", "lora"]
    assert medqa.split() == ["medqa", "1,273", "31.4", "39.3", "35.3", "1,200", "31.7", "39.2", "35.0"]
    assert leaked.split() == ["leaked", "5", "20.0", "100.0", "100.0", "0", "–", "–", "–"]


def test_columns_line_up() -> None:
    assert len({len(line) for line in results_table(CSV).splitlines()}) == 1


def test_any_models_have_columns_as_wide_as_their_names() -> None:
    heading, medqa, _ = results_table(CSV.replace("full", "full_with_a_long_name")).splitlines()
    assert heading.split()[3:6] == ["base", "full_with_a_long_name", "lora"]
    assert len(heading) == len(medqa)
    alone = results_table(
        "".join(line for line in CSV.splitlines(keepends=True) if "full" not in line and "lora" not in line)
    )
    assert alone.splitlines()[1].split() == ["medqa", "1,273", "31.4", "1,200", "31.7"]


def test_a_benchmarks_name_fills_its_column_and_no_more() -> None:
    table = results_table(CSV.replace("leaked", f'"{UNSEEN}\n[report] {"x" * 100}"'))
    assert len({len(line) for line in table.splitlines()}) == 1
    assert len(table.splitlines()) == 3
    assert not unseen_in(table)
