"""The OpenAI Python SDK against a gateway: what an application developer does."""

import openai
import pytest


@pytest.fixture
def client(served):
    return openai.OpenAI(base_url=served.endpoint + "/v1", api_key="viewer-token", max_retries=0, timeout=20)


def test_streams_a_chat_with_usage(client):
    stream = client.chat.completions.create(model="meta/llama", stream=True, max_tokens=8,
                                            stream_options={"include_usage": True},
                                            messages=[{"role": "user", "content": "Hello"}])
    text, usage, finish = "", None, None
    for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
        usage = chunk.usage or usage
    assert text and finish in ("length", "stop")
    assert usage.completion_tokens == 8 and usage.prompt_tokens > 0


def test_answers_a_chat_at_once(client):
    answer = client.chat.completions.create(model="meta/llama", max_tokens=4, messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content and answer.usage.completion_tokens == 4


def test_completes_and_embeds(client):
    assert client.completions.create(model="meta/llama", prompt="Once", max_tokens=4).choices[0].text
    vector = client.embeddings.create(model="meta/llama", input="hello").data[0].embedding
    assert len(vector) > 0 and any(vector)


def test_lists_models(client):
    models = client.models.list().data
    assert [(m.id, m.object, m.owned_by) for m in models] == [("meta/llama", "model", "cw1a2b")]
    assert client.models.retrieve("meta/llama").id == "meta/llama"


def test_meets_an_authentication_error_for_a_bad_key(served):
    stranger = openai.OpenAI(base_url=served.endpoint + "/v1", api_key="nobody", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        stranger.chat.completions.create(model="meta/llama", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_meets_a_permission_error_for_another_organizations_key(served):
    neighbour = openai.OpenAI(base_url=served.endpoint + "/v1", api_key="other-token", max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        neighbour.models.list()


def test_meets_a_not_found_error_for_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="meta/Llama", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "model_not_found" and "meta/Llama" in caught.value.message
