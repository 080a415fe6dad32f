"""Whether an answer refuses to describe, or speaks of itself as a model: phrases in the first person, and requests.

Only phrases that no description needs: "I cannot" counts, "a man cannot lift the box" does not. All languages whose
script occurs in the answer are searched, whatever language was asked for: models often refuse in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.caption.checks.scripts import SCRIPTS
from schemas.words import plain, unquoted

_MODEL = r"(?:ai|artificial intelligence|(?:(?:large|visual|vision|text-based) )*language model|virtual assistant)"
_PICTURE = r"(?:image|video|clip|frame|picture|footage|photo|file|content|media)s?"
PHRASES: dict[str, tuple[str, ...]] = {
    "en": (
        rf"\bi(?:'m| am)(?: very| so| really)? (?:sorry|afraid|unable|not able|not capable|an? {_MODEL})",
        r"\bi (?:cannot|can ?not|can't|could not|couldn't|do not|don't|will not|won't|must decline|apologi[sz]e)\b",
        r"\bmy apologies\b",
        r"^(?:sorry|apologies|unfortunately)\b",
        rf"\bas an? {_MODEL}(?: model| assistant)?(?:,|(?: developed| trained| created)\b[^.\n]*,|) ?i\b",
        rf"\bno {_PICTURE} (?:was|were|is|are|has been|have been|seems? to be|appears? to be) (?:actually )?"
        r"(?:provided|given|attached|uploaded|shared|supplied|included|available|present)",
        rf"\bunable to (?:view|see|access|open|process|analy[sz]e|describe|watch|assist|help|provide)"
        rf"(?: you| with)? ?(?:the |this|that|any|your |a )?(?:\w+ )?{_PICTURE}?(?:[.,]|$)",
        rf"\bunable to (?:view|access|open|process|analy[sz]e|watch) (?:the|this|that|any|your)(?: \w+)? {_PICTURE}",
        rf"\b(?:cannot|can't|can not) (?:be determined|be described|assist with|help with|fulfil|provide a"
        rf"|(?:view|see|access|open|play) (?:the|this|any|your) {_PICTURE})",
        rf"\b{_PICTURE} (?:could not|couldn't|cannot|can't) be (?:loaded|opened|played|accessed|viewed|processed)",
        rf"\bthere (?:is|are|was|were) no {_PICTURE} (?:to (?:describe|view|see|analy[sz]e)|here|attached)\b",
        r"\bnot possible (?:for me )?to (?:describe|determine|view|see|identify|provide)\b",
        r"\bi (?:would|'d) need\b",
        r"^please (?:provide|upload|share|attach|send)\b|[.,] please (?:provide|upload|share|attach|send)\b",
        r"\bi have no (?:way|access|ability)\b",
        r"\brequest cannot be (?:fulfilled|completed|processed)\b",
        rf"^no {_PICTURE} (?:provided|available|given|attached)\b",
        r"\b(?:did not|didn't|have not|haven't) (?:provide|upload|share|attach)",
    ),
    "es": (
        r"\blo siento\b",
        r"\blo lamento\b",
        r"\bno (?:puedo|soy capaz|(?:tengo|dispongo de) acceso|me es posible)\b",
        r"\bdisculp[ae],",
        r"\bcomo (?:un |una )?(?:ia|inteligencia artificial|modelo de|asistente virtual)\b",
        r"\bno se pueden? ver (?:ninguna? )?(?:imagen|imágenes|vídeo|video|nada)",
        r"\bno se (?:ha |han )?(?:proporcion|adjunt|inclu|facilit)",
        r"\bpor favor,? (?:proporcion|sub|compart|adjunt)",
    ),
    "fr": (
        r"\bje (?:suis|regrette)(?: vraiment)? ?(?:désolée?)?\b(?=.*\bje\b)",
        r"\bje suis désolé",
        r"^désolée?\b",
        r"\bje ne (?:peux|puis|suis pas|vois pas|parviens pas)",
        r"\bje n'ai pas\b",
        r"\bje m'excuse",
        r"\ben tant qu(?:'|e )(?:ia|intelligence|modèle|assistant)",
        r"\baucune? (?:image|vidéo|photo)\w* n'(?:a |est )",
        r"\bveuillez (?:fournir|télécharger|partager|joindre)",
    ),
    "de": (
        r"\btut mir (?:sehr )?leid\b",
        r"\bkann ich\b[^.\n]*\b(?:nicht|kein\w*)\b",
        r"\bich (?:kann|konnte)\b[^.\n]*\b(?:nicht|kein\w*)\b",
        r"\bich habe (?:leider )?kein\w*\b",
        r"\bich bin (?:leider )?nicht in der",
        r"\bals (?:ki|künstliche intelligenz|sprachmodell|virtueller)\b",
        r"\bich bin (?:ein|eine) (?:ki|sprachmodell|künstl)",
        r"\bkein\w* (?:bild|video|foto|datei)\w* (?:wurde|vorhanden|bereitgestellt|angehängt|zur verfügung)",
        r"\bbitte (?:laden sie|stellen sie|teilen sie|lade|schick)",
    ),
    "it": (
        r"\bmi dispiace\b",
        r"\bmi scuso\b",
        r"\bnon (?:posso|sono in grado|riesco|ho (?:accesso|la capacità|la possibilità))\b",
        r"\b(?:come|in quanto) (?:un |una |un')?"
        r"(?:ia|intelligenza artificiale|modello linguistico|assistente virtuale)\b",
        r"\bnon è stat[ao] fornit",
        r"\bnessun[ao']? ?(?:immagine|video|foto) (?:è|fornit)",
        r"\b(?:per favore|prego),? (?:fornis|caric)",
    ),
    "pt": (
        r"\b(?:desculpe|lamento|sinto muito)\b",
        r"\bnão (?:posso|consigo|sou capaz|tenho (?:acesso|a capacidade|como))\b",
        r"\bcomo (?:um |uma )?(?:ia|inteligência artificial|modelo de|assistente virtual)\b",
        r"\bnenhuma? (?:imagem|vídeo|foto)\w* (?:foi|fornec)",
        r"\bnão foi (?:fornecid|enviad)",
        r"\bpor favor,? (?:forneça|envie)",
    ),
    "ru": (
        r"\b(?:извините|простите|приношу извинения)\b",
        r"\bя не (?:могу|вижу|в состоянии|способ|имею доступа)",
        r"\bк сожалению, (?:видео|изображени\w+|фото\w*) недоступ",
        r"\bу меня нет (?:возможности|доступа)",
        r"\bк сожалению, (?:я|не могу)\b",
        r"^не могу\b",
        r"\bкак (?:ии|искусственный интеллект|языковая модель)\b",
        r"\bя (?:—|-)? ?языковая",
        r"(?:изображени|видео|фото|файл)\w* не "
        r"(?:был[оаи]? )?(?:предоставлен|приложен|загружен|прикреплен)",
        r"\bпожалуйста, (?:за|пре)",
    ),
    "zh": (
        r"(?:^|[，。,.!！])(?:很|非常|十分|真的)?(?:抱歉|对不起|對不起)[，,。！!]?",
        r"我(?:现在|目前|暂时|并)?(?:无法|無法|不能|没有办法|没法|看不到|不會|不会)",
        r"我(?:是|只是)一?[个個]?(?:ai|人工智能|语言模型|語言模型)",
        r"作为(?:一个|一名|一款)?(?:ai|人工智能|语言模型|大语言模型)",
        r"作為(?:一個)?(?:ai|人工智慧|語言模型)",
        r"(?:没有|未|沒有)(?:提供|上传|上傳|附上|收到)(?:任何|相关)?"
        r"(?:图|圖|视频|影片|画面|文件)",
        r"请(?:您)?(?:重新)?(?:提供|上传)",
        r"請(?:提供|上傳)",
        r"(?:无法|無法|不能)(?:查看|访问|打开|处理|分析|描述|播放)"
        r"(?:此|该|这|您|任何)?(?:个|段|张)?(?:图|视频|影片|内容|文件)",
    ),
    "ja": (
        r"申し訳(?:ありません|ございません|ないです)",
        r"^(?:すみません|ごめんなさい)",
        r"恐れ入りますが",
        r"(?:お答え|回答|説明|お手伝い|閲覧|視聴|描写|記述|分析|提供)"
        r"(?:すること)?(?:は|が|を)?(?:でき(?:ません|かねます)|いたしかね)",
        r"(?:動画|画像|映像)を(?:見る|確認|閲覧|視聴|再生)(?:する)?(?:こと)?(?:が|は)?できません",
        r"私は(?:ai|人工知能|言語モデル)",
        r"(?:ai|言語モデル|人工知能)(?:モデル)?(?:として|なので|ですので|であるため)",
        r"(?:画像|動画|映像|ファイル)が(?:提供|添付|アップロード)"
        r"され(?:ていない(?:よう|ため)|ていません|ておらず)",
        r"(?:提供|アップロード)してください",
    ),
    "ko": (
        r"죄송(?:합니다|하지만|해요)",
        r"^미안(?:합니다|해요)",
        r"유감스럽게도",
        r"(?:저는|제가|나는)[^.\n]{0,40}(?:없습니다|없어요|못합니다|못해요)",
        r"(?:설명|도와|제공|답변|분석)[^.\n]{0,8} 수(?:가|는)? 없",
        r"(?:ai|인공지능|언어) ?(?:언어 )?모델(?:로서|이므로|이라|입니다|이기)",
        r"(?:비디오|동영상|영상|이미지|사진)[을를] [^.\n]{1,8} 수(?:가|는)? 없",
        r"저는 (?:ai|인공지능)",
        r"(?:이미지|동영상|영상|사진|파일)[이가은는] (?:제공|첨부|업로드)되지",
        r"(?:제공|업로드|첨부)해 ?주(?:세요|시면|십시오)",
    ),
    "ar": (
        r"\b(?:آسف|آسفة|أعتذر|عذرا|عذرًا|معذرة)\b",
        r"للأسف، لا",
        r"\bلا (?:أستطيع|يمكنني|أقدر)",
        r"\b(?:لست|أنا غير) قادر",
        r"ليس لدي (?:القدرة|إمكانية)",
        r"بصفتي (?:نموذج|ذكاء|مساعد)",
        r"كنموذج (?:لغ|ذكاء)",
        r"أنا (?:نموذج|ذكاء اصطناعي)",
        r"لم (?:يتم|تقم) (?:بـ? ?)?(?:تقديم|توفير|إرفاق|تحميل)",
        r"يرجى (?:تقديم|تحميل|إرفاق|توفير|إرسال)",
    ),
    "hi": (
        r"(?:क्षमा|माफ़|माफ़|माफ) ?"
        r"(?:करें|कीजिए|कीजिएगा|चाहता|चाहती|करना)",
        r"मुझे (?:खेद|अफ़सोस|अफसोस)",
        r"मुझे [^।\n]{0,40}(?:दिखाई नहीं|नहीं दिख)",
        r"मैं [^।\n]{0,60}"
        r"(?:नहीं (?:कर|देख|दे|बता|हूँ|हूं)|असमर्थ|सक्षम नहीं)",
        r"(?:एक )?(?:एआई|ai|भाषा मॉडल|कृत्रिम बुद्धिमत्ता)"
        r"(?: मॉडल| भाषा मॉडल)? (?:के रूप में|होने के नाते|हूँ|हूं)",
        r"(?:छवि|वीडियो|चित्र|फ़ाइल) "
        r"(?:प्रदान|उपलब्ध|अपलोड|संलग्न) नहीं",
        r"कृपया [^।\n]{0,30}(?:प्रदान|अपलोड|साझा) कर",
    ),
}
_ANY = {
    code: re.compile("|".join(f"(?:{phrase})" for phrase in phrases), re.MULTILINE) for code, phrases in PHRASES.items()
}
_SCRIPT = {code: re.compile(f"[{SCRIPTS[code]}]") for code in PHRASES}


def refusal(texts: Iterable[str]) -> float:
    """1 if any of the texts refuses, else 0. Quotations in them are ignored."""
    text = "\n".join(plain(unquoted(text)).strip() for text in texts)
    return float(any(_SCRIPT[code].search(text) and _ANY[code].search(text) for code in PHRASES))
