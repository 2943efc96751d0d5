<?php
// A restaurant's booking bot: asks for people, time and name, confirms, says goodbye.
declare(strict_types=1);

require __DIR__ . '/webhook_server.php';

const NUMBER = '(\d+|one|two|three|four|five|six|seven|eight|nine|ten)';
const FACTS = [
    'people' => '/(?:\bfor|party of|table of|we are) ' . NUMBER . '\b|^' . NUMBER . '(?: people)?\W*$/iu',
    'when' => '/\b((?:today|tonight|tomorrow|\w+day|at \w+)\b[\w :.]*)/iu',
    'name' => '/\bname(?:\'s| is)? ([\w ]+)|\b(?:it\'s|this is|under) ([\w ]+)/iu',
];
const QUESTIONS = [
    'people' => 'For how many people?',
    'when' => 'When would you like to come?',
    'name' => 'What name may I write down?',
];
const GOODBYE = '/bye\b|\bthat(?:\'s| is) (?:all|it)\b|\bno,? thank|\bnothing else\b|^no\W*$/iu';

// Keeps nothing: `history` has everything said so far, as it was heard.
function answer(array $request): array
{
    if (preg_match(GOODBYE, $request['user_text'])) {
        return ['say' => 'Thank you, we look forward to seeing you. Goodbye!', 'action' => 'hangup'];
    }
    $ofCaller = array_filter($request['history'], fn(array $entry) => $entry['role'] === 'user');
    $said = array_reverse([...array_column($ofCaller, 'content'), $request['user_text']]);
    $known = [];
    foreach (FACTS as $fact => $pattern) {
        foreach ($said as $text) {
            if (preg_match($pattern, $text, $found)) {
                $known[$fact] ??= trim(end($found), ' .');
            }
        }
        if (!isset($known[$fact])) {
            return ['say' => QUESTIONS[$fact], 'action' => 'continue'];
        }
    }
    return ['say' => "A table for $known[people], $known[when], for $known[name]. Anything else?", 'action' => 'continue'];
}

serve(answer(...));
