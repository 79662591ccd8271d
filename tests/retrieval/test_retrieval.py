"""Retrieval: what is found, how that is scored, and how an index is kept."""

import itertools
import json
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import CheckpointError, DataError, StorageError
from alpha_umi.formats.prompts.retrieval import split_terms, write_retrieval_text, write_terms
from alpha_umi.formats.tool_json import Api
from alpha_umi.retrieval import Retriever, load_corpus
from alpha_umi.retrieval.corpus import identity, read_corpus, unite, write_corpus
from alpha_umi.retrieval.scores import CUTS, load_gold, ndcg, recall, score
from alpha_umi.retrieval.terms import TermIndex
from support.commands import run_here
from support.examples import examples


def api(tool, name, description="", category="Data", *parameters):
    required = tuple({"name": each, "type": "STRING", "description": each} for each in parameters)
    return Api(category=category, tool=tool, name=name, description=description, required=required)


CORPUS = (
    api("Clock", "getTime", "The time in a zone", "Time", "zone"),
    api("SkyCast", "Forecast", "Weather forecasts for cities", "Weather", "city"),
    api("SkyCast", "Alerts", "Storm alerts of a region", "Weather", "region"),
    api("Recipes", "Search", "Find recipes by ingredients", "Food", "ingredients"),
)


# --- scores -----------------------------------------------------------------------------------------------

RANKED = st.lists(st.integers(0, 9), unique=True, max_size=8)
RELEVANT = st.sets(st.integers(0, 9), min_size=1, max_size=4)


def slow_dcg(gains):
    """As the textbook writes it: the first place counts whole, the i-th is divided by log2(i + 1)."""
    total = 0.0
    for place, gain in enumerate(gains, start=1):
        total += gain / (math.log(place + 1) / math.log(2))
    return total


@settings(max_examples=examples(60), deadline=None)
@given(ranked=RANKED, relevant=RELEVANT, k=st.integers(1, 6))
def test_ndcg_is_the_gain_over_the_best_that_any_order_of_all_items_has(ranked, relevant, k):
    gains = [1 if item in relevant else 0 for item in range(10)]
    best = max(slow_dcg(order) for order in set(itertools.permutations(sorted(gains, reverse=True)[:6], min(k, 6))))
    gained = slow_dcg([gains[item] for item in ranked][:k])
    assert ndcg(ranked, relevant, k) == pytest.approx(gained / best, abs=1e-12)


@settings(max_examples=examples(60), deadline=None)
@given(ranked=RANKED, relevant=RELEVANT, k=st.integers(1, 6))
def test_recall_counts_what_is_found_and_grows_with_the_cut(ranked, relevant, k):
    found = 0
    for item in relevant:
        if item in ranked and ranked.index(item) < k:
            found += 1
    assert recall(ranked, relevant, k) == found / len(relevant)
    assert recall(ranked, relevant, k) <= recall(ranked, relevant, k + 1) <= 1


def test_a_perfect_ranking_scores_one_and_a_useless_one_nothing():
    for k in CUTS:
        assert ndcg([1, 2, 3], {1, 2, 3}, k) == 1
        assert ndcg([4, 5], {1}, k) == recall([4, 5], {1}, k) == 0
    assert ndcg([9, 1], {1}, 3) == pytest.approx(1 / math.log2(3))


# --- BM25 -------------------------------------------------------------------------------------------------

WORDS = st.lists(st.sampled_from(["time", "zone", "city", "storm", "get", "weather", "find"]), max_size=8).map(" ".join)


def slow_bm25(documents, query, k1=1.5, b=0.75):
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        counts, total = Counter(document), 0.0
        for term in query:
            having = sum(term in each for each in documents)
            rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            total += rarity * counts[term] / (counts[term] + k1 * (1 - b + b * len(document) / average))
        scores.append(total)
    return scores


@settings(max_examples=examples(40), deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=6), query=WORDS)
def test_scores_are_bm25s_textbook_formula(texts, query):
    corpus = tuple(api(f"t{number}", "Look", text) for number, text in enumerate(texts))
    expected = slow_bm25([write_terms(each) for each in corpus], split_terms(query))
    assert list(TermIndex.build(corpus).scores(query)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_nearest_come_first_and_what_shares_no_word_does_not_come():
    retriever = Retriever.index(CORPUS)
    assert [each.name for each in retriever.offer("Will there be storms? I want the weather of a city", 3)] == [
        "Forecast",
        "Alerts",
    ]
    assert retriever.offer("zzz qqq") == retriever.offer("") == retriever.offer("the of and") == []
    assert len(retriever.offer("weather", 1)) == 1


NO_BLANKS = {
    "Chinese": (
        [("天气预报", "查询未来七天的天气"), ("火车时刻", "查询列车到达和出发的时间"), ("汇率换算", "货币之间的汇率")],
        [("明天上海天气怎么样", 0), ("我想查一下去北京的列车时间", 1), ("一百美元的汇率是多少", 2), ("火", 1)],
    ),
    "Chinese, traditional": (
        [("天氣預報", "查詢未來七天的天氣"), ("匯率換算", "貨幣之間的匯率")],
        [("明天臺北天氣如何", 0), ("一百美元的匯率", 1)],
    ),
    "Japanese": (
        [
            ("天気予報", "各地の天気を調べる"),
            ("電車の時刻表", "電車の出発時刻を検索"),
            ("レシピ検索", "料理の作り方を探す"),
        ],
        [("明日の東京の天気を教えてください", 0), ("次の電車は何時に出発しますか", 1), ("カレーのレシピが知りたい", 2)],
    ),
    "Korean": (
        [("날씨 예보", "도시의 날씨를 조회"), ("기차 시간표", "열차의 출발 시간")],
        [("내일 서울날씨는 어때요", 0), ("부산행 기차시간을 알려줘", 1)],
    ),
    "Thai": (
        [("พยากรณ์อากาศ", "ตรวจสอบสภาพอากาศรายวัน"), ("ตารางรถไฟ", "เวลาออกของรถไฟ"), ("อัตราแลกเปลี่ยน", "แปลงสกุลเงิน")],
        [("พรุ่งนี้อากาศเป็นอย่างไร", 0), ("รถไฟออกกี่โมง", 1), ("อยากรู้อัตราแลกเปลี่ยนวันนี้", 2)],
    ),
    "Khmer": (
        [("ព្យាករណ៍អាកាសធាតុ", "អាកាសធាតុប្រចាំថ្ងៃ"), ("កាលវិភាគរថភ្លើង", "ម៉ោងចេញដំណើរ")],
        [("តើអាកាសធាតុថ្ងៃស្អែកយ៉ាងណា", 0), ("រថភ្លើងចេញម៉ោងប៉ុន្មាន", 1)],
    ),
    "Burmese": (
        [("မိုးလေဝသခန့်မှန်းချက်", "မိုးလေဝသအခြေအနေ"), ("ရထားအချိန်ဇယား", "ရထားထွက်ခွာချိန်")],
        [("မနက်ဖြန်မိုးလေဝသဘယ်လိုလဲ", 0), ("ရထားဘယ်အချိန်ထွက်မလဲ", 1)],
    ),
}


@pytest.mark.parametrize("language", NO_BLANKS)
def test_what_fits_is_found_where_no_blank_divides_words(language):
    apis, queries = NO_BLANKS[language]
    corpus = tuple(api(f"t{number}", name, description) for number, (name, description) in enumerate(apis))
    retriever = Retriever.index(corpus)
    assert [retriever.offer(query, 1) for query, _ in queries] == [[corpus[right]] for _, right in queries]


def test_words_with_marks_are_whole_and_scripts_are_told_apart():
    assert split_terms("मौसम की जानकारी") == ["मौसम", "की", "जानकारी"]
    assert split_terms("Zürich, ＡＰＩ of 東京の３Ｄmap") == ["zürich", "api", "東京", "京の", "3dmap"]
    assert split_terms("PM2.5信息") == ["pm2", "5", "信息"]
    assert split_terms("株") == ["株"]


@settings(max_examples=examples(60), deadline=None)
@given(st.text())
def test_any_text_is_split_and_what_is_indexed_finds_itself(text):
    retriever = Retriever.index((api("a", "b", text),))
    terms = split_terms(text)
    assert all(term for term in terms)
    assert bool(retriever.rank(text, 1)) == bool(terms)


def test_equal_scores_keep_the_order_of_the_corpus():
    corpus = tuple(api(f"tool{number}", "Same", "alike " * (1 + number % 3)) for number in range(700))
    hits = Retriever.index(corpus).rank("alike", 700)
    assert [hit.api for hit in hits] == sorted(corpus, key=lambda each: -len(each.description))


def test_names_are_read_as_words():
    assert split_terms("getUserName of get_user_names, API-v2 for Cities!") == [
        *("get", "user", "name", "get", "user", "name", "api", "v2", "city")
    ]


@given(text=st.text())
def test_any_text_has_terms(text):
    assert all(term == term.lower() and not term.isspace() for term in split_terms(text))


# --- corpora ----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
APIS = st.lists(st.builds(api, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=4)


@settings(max_examples=examples(40), deadline=None)
@given(apis=APIS)
def test_a_corpus_comes_back_from_the_published_shape(tmp_path_factory, apis):
    path = tmp_path_factory.getbasetemp() / "corpus.tsv"
    write_corpus(path, unite(apis))
    assert read_corpus(path) == unite(apis)


@pytest.mark.slow
def test_the_published_clients_reader_reads_our_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    odd = api('A "b"\tc', "new\nline", "d\\e")
    write_corpus(tmp_path / "corpus.tsv", (odd, CORPUS[0]))
    frame = pandas.read_csv(tmp_path / "corpus.tsv", sep="\t")
    assert [json.loads(row.document_content)["tool_name"] for row in frame.itertuples()] == [odd.tool, "Clock"]


def test_encoders_read_what_they_were_trained_on():
    declared = Api(
        category="Data",
        tool="Clock",
        name="Now",
        description="Time.",
        required=({"name": "z"},),
        schema={"hour": "int"},
    )
    assert write_retrieval_text(declared) == (
        'Data, Clock, Now, Time., required_params: [{"name": "z"}], optional_params: [], return_schema: {"hour": "int"}'
    )


def write_queries(path, *entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries))
    return path


def entry(query, relevant, apis=CORPUS):
    listed = [
        {
            "category_name": each.category,
            "tool_name": each.tool,
            "api_name": each.name,
            "api_description": each.description,
        }
        for each in apis
    ]
    return {"query": query, "query_id": 1, "api_list": listed, "relevant APIs": relevant}


def test_apis_come_from_query_files_tool_files_and_tables(tmp_path):
    queries = write_queries(tmp_path / "queries" / "G1.json", entry("q", []), entry("r", []))
    assert {identity(each) for each in load_corpus(queries)} == {identity(each) for each in CORPUS}
    assert load_corpus(queries.parent) == load_corpus(queries)
    tool = tmp_path / "tools" / "Time" / "clock.json"
    tool.parent.mkdir(parents=True)
    tool.write_text(
        json.dumps({"tool_name": "Clock", "tool_description": "Tells time", "api_list": [{"name": "getTime"}]})
    )
    (found,) = load_corpus(tmp_path / "tools")
    assert (identity(found), found.tool_description) == (("Time", "Clock", "getTime"), "Tells time")
    write_corpus(tmp_path / "corpus.tsv", CORPUS)
    assert load_corpus(tmp_path / "corpus.tsv") == CORPUS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tsv", "docid\tother\n1\tx\n", "row 2 has no 'document_content'"),
        ("a.tsv", "docid\tdocument_content\n1\t{\n", "row 2: its 'document_content' is no JSON"),
        ("a.tsv", "docid\tdocument_content\n1\t[]\n", "is no object"),
        ("a.tsv", "", "declares no API"),
        ("a.json", "5", "neither a tool JSON file nor a list of queries"),
        ("a.json", "{}", "has no 'api_list'"),
        ("a.json", "[]", "declares no API"),
        ("a.json", "{", "broken JSON"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_named(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        load_corpus(path)


def test_gold_names_the_apis_of_the_query_itself(tmp_path):
    twice = (*CORPUS, api("SkyCast", "Forecast", category="Other"), CORPUS[1])
    gold, odd = load_gold(
        write_queries(
            tmp_path / "G1.json",
            entry("weather", [["SkyCast", "Forecast"], ["Gone", "Lost"]], twice),
            entry("nothing", []),
            {"query": 5},
        )
    )
    assert [each.query for each in gold] == ["weather"]
    assert gold[0].relevant == {
        ("Weather", "SkyCast", "Forecast"),
        ("Other", "SkyCast", "Forecast"),
        ("", "Gone", "Lost"),
    }
    assert len(odd) == 2
    assert "entry 1 has no 'query' or no 'relevant APIs'" in odd[0]
    figures = score(Retriever.index(CORPUS), gold)
    assert figures["recall@10"].value == pytest.approx(1 / 3)


def test_query_files_without_gold_are_named(tmp_path):
    with pytest.raises(DataError, match="no query says by 'relevant APIs'"):
        load_gold(write_queries(tmp_path / "a.json", entry("q", [])))
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(DataError, match="no query says by 'relevant APIs'"):
        load_gold(tmp_path / "b.json")


# --- on disk ----------------------------------------------------------------------------------------------


def test_an_index_comes_back_and_is_replaced_whole(tmp_path):
    folder = tmp_path / "deep" / "index"
    Retriever.index(CORPUS[:2]).save(folder)
    made = Retriever.index(CORPUS)
    made.save(folder)
    loaded = Retriever.load(folder)
    assert loaded.corpus == CORPUS
    for query in ("weather storm city", "time", "zzz", ""):
        assert loaded.rank(query, 4) == made.rank(query, 4)
    assert [path.name for path in folder.parent.iterdir()] == ["index"]


def test_other_files_are_not_replaced_and_broken_indexes_are_named(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(StorageError, match="holds other files"):
        Retriever.index(CORPUS).save(tmp_path / "mine")
    with pytest.raises(DataError, match="no such file"):
        Retriever.load(tmp_path / "nowhere")
    folder = tmp_path / "index"
    for name, words in (("index/params.index.json", "make the index again"), ("corpus.tsv", "0 APIs")):
        Retriever.index(CORPUS).save(folder)
        (folder / name).write_text("")
        with pytest.raises(DataError, match=words):
            Retriever.load(folder)
    (folder / "retriever.json").write_text("[]")
    with pytest.raises(DataError, match="is no index of this version"):
        Retriever.load(folder)
    with pytest.raises(DataError, match="without APIs"):
        Retriever.index(())


# --- the command line -------------------------------------------------------------------------------------


def test_the_command_line_finds_keeps_and_measures(tmp_path):
    path = write_queries(
        tmp_path / "queries" / "G1.json",
        entry("weather forecast", [["SkyCast", "Forecast"]]),
        entry("storm alerts", [["SkyCast", "Alerts"], ["Gone", "Lost"]]),
    )
    found = run_here("retrieve", "storms in a region", "--tools", path, "--k", 1, "--save", tmp_path / "index")
    assert found.out.split(maxsplit=1)[1] == "Weather / SkyCast / Alerts\n"
    again = run_here("retrieve", "storms in a region", "--index", tmp_path / "index", "--k", 1)
    assert again.out == found.out
    assert run_here("retrieve", "qqq", "--tools", path).out == "none of 4 APIs shares a word with the query\n"
    done = run_here("evaluate", "retrieval", "--queries", path.parent, "--out", tmp_path / "figures.json")
    assert "4 APIs, 2 queries" in done.out
    figures = json.loads((tmp_path / "figures.json").read_text())["sets"]["G1"]
    assert (figures["recall@1"]["value"], figures["ndcg@1"]["value"], figures["ndcg@1"]["count"]) == (0.75, 1.0, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retrieve", "q"], "name where APIs are declared"),
        (["retrieve", "q", "--tools", "x", "--index", "y"], "--index holds its APIs"),
        (["retrieve", "q", "--tools", "nowhere.json"], "no such file"),
        (["evaluate", "retrieval", "--queries", "."], "holds no query files"),
        (["evaluate", "retrieval", "--queries", "nowhere.json"], "no such file"),
    ],
)
def test_what_a_user_gets_wrong_is_named(tmp_path, arguments, words):
    done = run_here(*arguments, cwd=tmp_path)
    assert done.code
    assert words in done.err


# --- a dense encoder --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny BERT with random weights and a WordPiece tokenizer that has read the corpus."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator([write_retrieval_text(each) for each in CORPUS], vocab_size=300, show_progress=False)
    marks = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, **marks).save_pretrained(folder / "bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu")
    model.save(str(folder / "model"))
    return str(folder / "model")


@pytest.mark.slow
def test_an_encoder_ranks_by_angle_and_comes_back_from_disk(encoder, tmp_path):
    from sentence_transformers import SentenceTransformer

    retriever = Retriever.index(CORPUS, model=encoder)
    query = "weather in a city"
    model = SentenceTransformer(encoder)
    expected = model.similarity(model.encode([query]), model.encode([write_retrieval_text(each) for each in CORPUS]))[0]
    hits = retriever.rank(query, 4)
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=1e-5)
    assert [hit.api for hit in hits] == [CORPUS[at] for at in expected.argsort(descending=True)]
    assert Retriever.index(CORPUS, model=encoder).rank(write_retrieval_text(CORPUS[2]), 1)[0].api == CORPUS[2]
    assert retriever.rank(" ", 4) == []
    retriever.save(tmp_path / "index")
    again = Retriever.load(tmp_path / "index").rank(query, 4)
    assert [(hit.api, pytest.approx(hit.score, abs=1e-6)) for hit in again] == [(hit.api, hit.score) for hit in hits]
    done = run_here("retrieve", query, "--index", tmp_path / "index", "--k", 4)
    assert len(done.out.splitlines()) == 4


@pytest.mark.slow
def test_an_encoder_that_is_none_is_named(encoder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no encoder can be loaded"):
        Retriever.index(CORPUS, model=str(tmp_path / "empty"))
    Retriever.index(CORPUS, model=encoder).save(tmp_path / "index")
    vectors = tmp_path / "index" / "index" / "vectors.npy"
    vectors.write_bytes(b"x")
    with pytest.raises(DataError, match=r"vectors\.npy: cannot be read"):
        Retriever.load(tmp_path / "index")
