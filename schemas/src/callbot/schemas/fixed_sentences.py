"""What every bot may have to say at any moment, in the languages that we have it in.

English is recorded in the gateway, and is the last resort of all. Those here are spoken ahead by the bot's
voice. No sentence tells whether a man or a woman speaks, or spoke: any voice may have to say it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from callbot.schemas.language_tags import base_of

HELLO: Final = "hello"
ENGLISH_HELLO: Final = "Hello! How can I help you?"

FIXED_SENTENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "de": {
        HELLO: "Guten Tag! Wie kann ich Ihnen helfen?",
        "one_moment": "Einen Moment bitte.",
        "not_understood": "Das habe ich leider nicht verstanden. Können Sie es bitte noch einmal sagen?",
        "still_there": "Sind Sie noch da?",
        "silent_goodbye": "Ich kann Sie leider nicht hören. Auf Wiederhören.",
        "apology": "Da ist leider etwas schiefgegangen. Können Sie das bitte noch einmal sagen?",
        "goodbye": "Bei uns gibt es leider gerade eine Störung. Bitte rufen Sie später noch einmal an. "
        "Auf Wiederhören.",
        "ending_soon": "Wir haben noch etwa eine Minute.",
        "too_long": "Leider ist die Zeit für dieses Gespräch um. Auf Wiederhören.",
        "nobody_answers": "Dort meldet sich leider niemand. Was kann ich sonst noch für Sie tun?",
    },
    "es": {
        HELLO: "¡Hola! ¿En qué puedo ayudarle?",
        "one_moment": "Un momento, por favor.",
        "not_understood": "Disculpe, no le he entendido. ¿Me lo puede repetir, por favor?",
        "still_there": "¿Sigue ahí?",
        "silent_goodbye": "No le oigo. Hasta luego.",
        "apology": "Disculpe, algo ha fallado. ¿Me lo puede repetir, por favor?",
        "goodbye": "Disculpe, tenemos un problema técnico. Por favor, llame más tarde. Hasta luego.",
        "ending_soon": "Nos queda más o menos un minuto.",
        "too_long": "Disculpe, se ha acabado el tiempo de esta llamada. Hasta luego.",
        "nobody_answers": "Lo siento, allí no contesta nadie. ¿En qué más puedo ayudarle?",
    },
    "fr": {
        HELLO: "Bonjour ! Que puis-je faire pour vous ?",
        "one_moment": "Un instant, s'il vous plaît.",
        "not_understood": "Excusez-moi, je n'ai pas compris. Vous pouvez répéter, s'il vous plaît ?",
        "still_there": "Vous êtes toujours là ?",
        "silent_goodbye": "Je ne vous entends pas. Au revoir.",
        "apology": "Excusez-moi, il y a eu un problème. Vous pouvez répéter, s'il vous plaît ?",
        "goodbye": "Excusez-nous, nous avons un problème technique. Merci de rappeler plus tard. Au revoir.",
        "ending_soon": "Il nous reste environ une minute.",
        "too_long": "Excusez-moi, cet appel a atteint sa durée maximale. Au revoir.",
        "nobody_answers": "Je regrette, personne ne répond. Que puis-je faire d'autre pour vous ?",
    },
    "hi": {
        HELLO: "नमस्ते! बताइए, आपको किस चीज़ में मदद चाहिए?",
        "one_moment": "एक मिनट, प्लीज़।",
        "not_understood": "माफ़ कीजिए, बात समझ में नहीं आई। कृपया फिर से कहिए।",
        "still_there": "क्या आप लाइन पर हैं?",
        "silent_goodbye": "आपकी आवाज़ नहीं आ रही है। नमस्ते।",
        "apology": "माफ़ कीजिए, कुछ गड़बड़ हो गई। कृपया अपनी बात फिर से कहिए।",
        "goodbye": "माफ़ कीजिए, हमारी तरफ़ कुछ दिक़्क़त है। कृपया थोड़ी देर बाद फ़ोन कीजिए। नमस्ते।",
        "ending_soon": "हमारे पास लगभग एक मिनट बचा है।",
        "too_long": "माफ़ कीजिए, इस कॉल का समय पूरा हो गया है। नमस्ते।",
        "nobody_answers": "माफ़ कीजिए, वहाँ कोई फ़ोन नहीं उठा रहा। आपको और किस चीज़ में मदद चाहिए?",
    },
    "ja": {
        HELLO: "お電話ありがとうございます。ご用件をお伺いいたします。",
        "one_moment": "少々お待ちください。",
        "not_understood": "申し訳ございません、聞き取れませんでした。もう一度お願いできますでしょうか。",
        "still_there": "もしもし、お声は届いておりますでしょうか。",
        "silent_goodbye": "お声が聞こえないようですので、失礼いたします。",
        "apology": "申し訳ございません、うまく処理できませんでした。もう一度お願いできますでしょうか。",
        "goodbye": "申し訳ございません、ただいま不具合が起きております。"
        "後ほどおかけ直しください。失礼いたします。",
        "ending_soon": "お話しできるお時間は、あと一分ほどです。",
        "too_long": "申し訳ございません、通話の上限時間になりました。失礼いたします。",
        "nobody_answers": "申し訳ございません、あいにく電話に出る者がおりません。"
        "ほかにご用件はございますか。",
    },
    "pt": {
        HELLO: "Olá! Em que posso ajudar?",
        "one_moment": "Um momento, por favor.",
        "not_understood": "Desculpe, não entendi. Pode repetir, por favor?",
        "still_there": "Ainda está aí?",
        "silent_goodbye": "Não consigo ouvir. Até logo.",
        "apology": "Desculpe, algo deu errado. Pode repetir, por favor?",
        "goodbye": "Desculpe, estamos com um problema técnico. Por favor, ligue mais tarde. Até logo.",
        "ending_soon": "Ainda temos cerca de um minuto.",
        "too_long": "Desculpe, esta chamada chegou ao tempo máximo. Até logo.",
        "nobody_answers": "Desculpe, ninguém atende. Em que mais posso ajudar?",
    },
}
"""By language, then by the field of `Phrases`; `hello` stands in for a greeting."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def ours_in(language: str) -> Mapping[str, str]:
    """By name; empty for English, which is recorded, and for languages that we have nothing in."""
    return FIXED_SENTENCES.get(base_of(language), _NONE)


def greeting_in(language: str) -> str:
    """Of a bot that has none of its own."""
    return ours_in(language).get(HELLO, ENGLISH_HELLO)


def with_greeting(definition: Any) -> Any:
    """The body of a new bot, before it is checked, with a greeting in its language where it has none."""
    if not isinstance(definition, dict) or "greeting" in definition:
        return definition
    language = definition.get("language")
    return {**definition, "greeting": greeting_in(language)} if isinstance(language, str) else definition
