"""Captions as a careful writer gives them, that every check must let pass: 60 in English, 40 in eleven other languages.

A caption is a block of lines: subject, action, setting, camera, light, style, and on-screen text if there is any.
Some hold what a check could trip over: negations, quoted apologies, foreign signs, cameras in the scene.
"""

from __future__ import annotations

from schemas.structured_caption import StructuredCaption

BLOCKS: dict[str, str] = {
    "en": """
A barista with a grey beard, a white shirt and a denim apron
tilts a small steel jug and pours milk into a cup of coffee until a leaf pattern appears
He stands behind a wooden counter with a brass espresso machine and rows of glasses behind him.
The camera is static, close to the counter and slightly above the cup.
Warm light from hanging bulbs falls on the counter, and the wall behind is dark green.
It is live-action footage with a shallow depth of field.

Two girls of about ten in yellow raincoats and red rubber boots
run down a flooded path, jump into a puddle one after the other and turn round laughing
A gravel path leads between bare trees, and a low brick house stands at its end.
The handheld camera follows them from behind at knee height.
The sky is overcast and the colours are muted except for the raincoats.
It looks like a home video taken with a phone.

An elderly man in a straw hat and a checked shirt
kneels beside a raised bed, pulls out three carrots and shakes the soil from them
The garden has rows of lettuce, bean poles and a shed with a rusty roof.
A fixed shot from the side shows him from the knees up.
Low evening sun comes from the left and throws long shadows.
Documentary footage with natural colours.

A brown and white border collie
sprints across a lawn, leaps off the ground and catches a blue disc in its mouth
Behind the lawn are a row of poplars and a parked silver van.
The camera pans left to keep the dog in the middle of the picture.
Bright midday sun, green grass and a clear blue sky.
Sports-style footage in slow motion.

A grey cat with white paws
sits on a windowsill, follows a fly with its eyes and strikes at the glass with one paw
Outside the window a wet street and parked cars can be made out through drops of rain.
Static close-up from inside the room.
Cold daylight enters through the window while the room itself stays dark.
Amateur video with some noise in the shadows.

A herd of about thirty elephants
walks in single file towards a shallow river and begins to drink
The plain is dry and yellow, with a few flat-topped trees and hills on the horizon.
An aerial shot moves slowly forward over the animals.
Hazy golden light shortly before sunset.
A nature documentary filmed from a drone.

A bright green tree frog with red eyes
clings to a stem, blinks once and climbs out of the frame at the top
The background is a blur of dark leaves.
An extreme close-up; the camera tilts up with the animal.
A single lamp lights the frog from the right and everything else is nearly black.
Macro footage from a wildlife film.

Six pelicans
glide just above the waves in a line and rise together over a breaking crest
A sandy beach with a wooden pier lies in the distance.
The camera pans from left to right and keeps them level with the horizon.
Soft morning light in pink and pale blue.
Telephoto footage that flattens the distances.

A silver commuter train with a blue stripe
pulls into an elevated station and comes to a stop while people step back from the edge
Office towers with glass fronts stand close on both sides of the platform.
The camera stands still on the opposite platform.
Grey daylight with reflections on the wet concrete.
Plain documentary footage.
CENTRAL — PLATFORM 4

Dozens of pedestrians with umbrellas
cross a wide junction in all directions when the lights change, and the crossing empties again
Tall buildings with large advertising screens surround the junction.
A high-angle static shot from an upper floor.
It is night, and red, blue and white signs are mirrored in the wet asphalt.
Time-lapse footage.

A yellow tram
climbs a steep narrow street, squeezes past a parked delivery van and disappears round a bend
Old houses with tiled fronts and iron balconies line the street on both sides.
The camera tilts up slightly as the tram goes uphill.
Harsh afternoon sun on one side of the street, deep shade on the other.
Travel footage with saturated colours.

A container ship loaded with red, blue and orange boxes
leaves a harbour, led by two tugboats
Cranes and stacks of containers stand along the quay, and a lighthouse marks the end of the mole.
An aerial view that slowly zooms out.
The water is steel grey under a cloudy sky.
Drone footage.

A street sweeper in an orange vest
pushes a broom along the kerb and tips the leaves into a cart, without looking up
Parked bicycles and closed shops are behind him; a sign in a shop window reads "Sorry, we cannot open today".
Static wide shot from across the road.
Early morning light, blueish and even.
Observational documentary.

A basketball player in a white number 23 jersey
dribbles past two defenders in red, jumps and dunks the ball with his right hand
The indoor arena is full, and a referee stands beside the basket.
The camera follows the player to the right and holds on the hoop.
Bright even floodlights from above on a polished wooden floor.
A television broadcast.
HOME 88 AWAY 85 Q4 0:42

A female gymnast in a dark blue leotard
runs up, vaults over the table with two twists and lands with both feet together
Blue mats, a row of judges at tables and a half-empty stand.
The camera pans right along the runway.
Strong white light from the ceiling.
A sports broadcast in slow motion.
VAULT  14.866

Four rowers in a narrow white boat
pull their oars in the same rhythm and pass a red buoy
A wide canal with straight banks, willows and a bridge in the distance.
A tracking shot from a boat alongside them.
Even light under thin cloud, with grey-green water.
Sports documentary.

A climber in a red helmet and a grey top
reaches for a small hold, slips with one foot, swings and finds the wall again
A pale limestone cliff rises above a pine forest.
The camera looks down from the top and does not move.
Full sun on the rock, dark green below.
Outdoor film shot with a long lens.

Two boxers, one in black and one in gold trunks
circle each other, exchange quick jabs and fall into a clinch until the referee parts them
A boxing ring with white ropes; the audience beyond is in darkness.
The camera circles the ring outside the ropes.
Hard spotlights from above.
Live television picture.
ROUND 7

A skateboarder in a grey hoodie
rolls towards a flight of eight steps, flips the board in the air and lands on it at the bottom
A concrete square in front of a library with tall windows.
A fisheye shot close to the ground that moves with the skater.
Late sun and long shadows.
Skate video with a vignette around the edges.

A pair of hands with short nails
dices a red onion with a chef's knife and slides the pieces into a bowl
A worn wooden board on a steel table with garlic and a bunch of parsley.
Overhead shot, fixed.
Neutral studio light without strong shadows.
A cooking tutorial.
Step 1: dice the onion

A cook in a white jacket
tosses noodles and vegetables in a wok over a high flame and tips them onto a plate
A narrow restaurant kitchen with shelves of steel pans.
The camera zooms in on the wok.
The flame throws orange light on the tiles, the rest is cool white.
Restaurant promotion film.

A round loaf of bread
rises in an oven, splits along the cut on top and turns from pale to dark brown
The inside of an oven with a glowing element behind the loaf.
A locked-off shot through the glass door.
Orange light from inside the oven.
Time-lapse over the whole baking time.

A woman in a green apron with her hair tied up
rolls out dough on a floured table, cuts it into strips and hangs them over a rod
A farmhouse kitchen with copper pots on the wall and a window above the sink.
A medium shot that pushes in slowly.
Soft window light from the right.
Film with fine grain and warm tones.

Chocolate sauce
runs from a spoon over a scoop of vanilla ice cream and gathers at the bottom of the glass
A plain white background.
Static macro shot.
Bright high-key light without shadows.
A commercial in extreme slow motion.

A small orange fox with a blue scarf
hops from stone to stone across a brook, slips on the last one and pulls itself up by its tail
A stylised forest with round trees and oversized mushrooms.
The view moves right alongside the fox.
Golden light falls through the leaves in clear beams.
A computer-animated cartoon with soft textures.

A robot made of tin cans
winds itself up with a key in its chest, takes four stiff steps and topples over
A child's room with wooden blocks, drawn in flat colours.
The picture is static.
Flat lighting, mainly teal and mustard yellow.
Hand-drawn 2D animation with visible outlines.

A clay figure with a long nose
opens a tiny umbrella and is carried off upwards by the wind
A cardboard town with cotton-wool clouds.
The camera tilts up after the figure.
Studio light with soft shadows.
Stop-motion animation with slight jumps between the poses.

White lines and dots
join up into a turning wireframe globe over which arcs shoot from city to city
A dark blue gradient.
The globe turns while the view stays fixed.
The lines glow in cyan and white.
Motion graphics.

A knight in black armour
rides through a burning village, raises his sword and turns the horse towards the viewer
Thatched houses on fire under a red sky.
The shot starts wide and zooms in on the helmet.
Orange firelight and thick smoke.
A cut scene from a video game.

A mouse pointer
opens a menu in a drawing program, chooses "Gaussian Blur", moves a slider to the right and confirms
A window with a photograph of a lighthouse in the middle and tool panels on both sides.
The recording of the screen is static.
A dark grey interface with blue highlights.
Screen recording.
Filter  Blur  Gaussian Blur…  Radius: 4.5 px  Cancel  OK

Lines of code in an editor
are typed one after another, and a panel below prints the results of tests
An editor with a file tree on the left and a terminal at the foot.
There is no camera movement; the view is that of a screen.
Light text in green, orange and white on a black ground.
A screen recording of a programming tutorial.
def test_add(): assert add(2, 2) == 4    1 passed in 0.02s

A spreadsheet with monthly figures
is scrolled down, a column is marked and a bar chart is inserted beside it
An office program in full-screen view with a ribbon of icons at the top.
The picture is still except for the scrolling.
White cells, a green toolbar and blue bars.
Screen recording with a highlighted pointer.
Sheet1  Revenue  Jan 1,204  Feb 1,377  Insert chart

A chat window
shows a question being typed and an answer that appears word by word below it
A web page with a list of former conversations on the left.
A static recording of the screen.
Black text on white with a purple button.
Screen recording.
assistant: I'm sorry, I cannot help with that.

A map
is dragged to the east, zoomed until single streets are visible, and a route is drawn in blue
A browser window with a search box in the upper left corner.
The screen is recorded without camera movement.
Pastel colours: beige land, light blue water, green parks.
Screen recording of a map service.
Fastest route, 24 min

A news anchor with short black hair and a burgundy blazer
speaks to the viewer, looks down at her papers and turns to a second camera
A studio desk with a glass top and a wall of screens that shows a skyline.
A medium shot, static.
Even studio light with blue accents.
A television news programme.
BREAKING NEWS: Storm reaches the coast

A bearded man in a black T-shirt
holds up a small circuit board, points at two of its chips and lays it on the table
A workshop with a pegboard of tools and a soldering iron on a stand.
The camera stays fixed at chest height.
A desk lamp from the left and a blue strip of light on the wall.
A talking-head video for the internet.
Part 2: Power supply

A choir of about forty people in white robes
sways from side to side and sings, with a soloist stepping forward near the end
The steps of a stone church with a carved portal.
A crane shot that rises slowly.
Candles in the hands of the singers and dim blue dusk around them.
Concert film.

A violinist in a long silver dress
plays with closed eyes, draws the last stroke slowly and lowers the instrument
A dark stage with the outlines of an orchestra behind her.
The camera slowly moves closer to her face.
A single warm spotlight from the upper right.
A recorded concert.

A drummer with tattooed arms
beats a fast roll on the snare, hits both cymbals and throws a stick into the air
A small club with a brick wall and a banner on it.
A shaky handheld shot from the edge of the stage.
Red and purple light flickers.
Phone video from a concert.

Children in school uniform
raise their hands, and a teacher writes the sum 7 x 8 = 56 on the blackboard
A classroom with wooden desks, maps on the wall and a fan on the ceiling.
The camera pans right across the rows.
Daylight from large windows on one side.
Documentary footage on faded film stock.

A couple in wedding clothes
walks down a staircase between guests who throw rice, kisses and gets into an old car
The entrance of a town hall with two stone lions.
The camera moves backwards in front of them.
Bright but soft light under a thin cloud cover.
A wedding film.

A surgeon in blue scrubs, gloves and a mask
takes an instrument from a tray and bends over the patient, who is covered with green cloth
An operating theatre with two monitors.
An overhead static shot.
Very bright white light on the table, dim surroundings.
Medical training film.

A welder with a dark face shield
draws a bead along a steel seam while sparks fly to the left, then lifts the torch
A factory hall with a crane and stacked pipes, blurred in the background.
A static close shot from the side.
The arc burns white and blue, everything else is underexposed.
Industrial film.

A potter with wet forearms
centres a lump of clay on a spinning wheel, opens it with the thumbs and pulls up the wall of a bowl
A bright studio with shelves full of unglazed pots.
The shot is stationary and shows only the arms and the wheel.
Diffuse daylight from above, brown and white tones.
Craft documentary.

A waterfall in several steps
drops between black rocks into a round pool, and mist drifts across the picture
Ferns and moss cover the slopes on both sides.
The camera tilts down from the upper edge to the pool.
Dull daylight that makes the green look very deep.
Landscape footage with a long exposure.

Lava
creeps over a road, sets a post on fire and covers the white line in the middle
A village street with palm trees and an abandoned car.
Handheld, from a safe distance.
The orange glow is the brightest thing under a dusky sky.
News footage.

Snow-covered peaks
glow for a short time in red and then turn blue while the stars come out
A frozen lake lies in front of the mountains.
A fixed wide-angle shot.
The light goes from red dusk to blue night.
Time-lapse of several hours.

A sandy seabed
is crossed by a ray, which stirs up a cloud and buries itself until only its eyes can be seen
Clumps of sea grass and a coral block to the right.
The camera drifts slowly forward.
Blue-green light from above with moving patterns on the ground.
Underwater footage.

A red hot-air balloon
lifts off, tilts in a gust, rights itself and rises out of the picture
A meadow with a dozen more balloons that are still being filled.
The camera stays where it is and lets the balloon rise out of the shot.
Low sun behind the balloons, which glow from within.
Travel video.

A black vintage car with chrome bumpers
drives along a coastal road, passes a white chapel and is lost behind a rock
A steep coast with dry scrub, and the sea far below.
An aerial tracking shot that keeps the car in the lower third.
Clear afternoon light, deep blue water.
A car commercial with an anamorphic look.

A boy in a striped pullover
builds a tower of wooden blocks, puts on the last one and knocks it all down with his elbow
A carpet in front of a sofa on which somebody is reading.
The camera is placed on the floor and does not move.
Yellowish lamplight.
Home video from the 1990s with tape noise and a date in the corner.
DEC 24 1994 6:32 PM

A black-and-white picture of a crowd in hats and long coats
streams out of a factory gate, on foot and on bicycles, and a dog runs between them
A brick factory with tall chimneys.
The camera does not pan or zoom.
Grey daylight, high contrast, scratches and dust.
Silent film from around 1900.

A title card with an ornate frame
appears, stands for a few seconds and fades to black
A dark background with faint scratches.
Static.
White letters on black.
An intertitle of a silent film.
"Meanwhile, at the mill…"

A hand with a red bracelet
holds a phone with a cracked screen and swipes through photographs of a newborn
A café table with a half-empty glass of tea.
A close-up over the shoulder that zooms in slowly.
Soft light from a window on the left.
Feature film.

A security guard
walks through an empty car park, shines a torch into two cars and speaks into his radio
Concrete pillars with yellow numbers and a ramp at the back.
The fixed view of a surveillance camera from the ceiling.
Cold fluorescent light, partly flickering.
Surveillance footage with a low frame rate.
CAM 07  2021-11-03 02:14:55

A windscreen view of a wet motorway
shows a lorry changing lanes without signalling and the own car braking hard behind it
Guard rails, a forest and a blue sign that reads "Ausfahrt Hildesheim".
The camera is mounted on the dashboard and moves forward with the car.
Headlights and tail lights in the grey of dawn.
Dashcam footage.
62 km/h

An old woman in a purple sari
sorts red lentils on a round tray, blows away the husks and smiles at someone outside the picture
A courtyard with blue walls and a tethered goat.
A medium shot; the camera trembles slightly.
Strong sun from above and cool reflected light from the walls.
Ethnographic documentary.

Colourful liquids in glass tubes
mix in a flask, foam up and turn from yellow to deep violet
A laboratory bench with a rack and a white screen behind it.
The camera zooms out until the whole apparatus is visible.
Bright even light.
An educational film.
KMnO₄ + H₂SO₄

Three dancers in loose white costumes
spin in opposite directions, drop to the floor and roll outwards to form a star
An empty black stage.
An overhead shot that rotates slowly.
One hard cone of light from above.
Recording of contemporary dance.

A rocket with four boosters
ignites, lifts off in a cloud of steam and leaves a bright trail across the night sky
A launch tower beside a lagoon with mangroves.
The camera tilts up and loses the rocket in the clouds.
The flame turns the whole scene orange for a few seconds.
Live broadcast of a launch.
T+00:00:12
""",
    "es": """
Un pescador mayor con gorra azul y botas de goma
remienda una red verde, corta el hilo con los dientes y sigue con el siguiente nudo
Está sentado en el muelle de un puerto pequeño con barcas blancas y casas de colores al fondo.
La cámara permanece fija a la altura de los ojos.
La luz de la mañana es suave y predominan el azul y el verde.
Es una grabación documental.

Tres niños con camisetas rojas
corren detrás de un balón, uno de ellos resbala y los otros dos lo ayudan a levantarse
Un campo de tierra entre bloques de viviendas con ropa tendida en los balcones.
La cámara sigue el balón hacia la derecha.
Sol fuerte del mediodía y sombras cortas.
Vídeo grabado con un teléfono móvil.

Una cocinera con delantal negro
da la vuelta a una tortilla de patatas con un plato y la devuelve a la sartén
Una cocina estrecha con azulejos blancos y una ventana abierta.
Plano cenital sin movimiento.
Luz cálida de una lámpara sobre los fogones.
Vídeo de recetas.
Paso 3: dar la vuelta

Un zorro dibujado con líneas gruesas
asoma la cabeza por la madriguera, olfatea el aire y vuelve a esconderse cuando pasa un tractor
Un campo de girasoles bajo un cielo de color naranja.
La imagen se aleja poco a poco.
Colores planos y vivos, sin sombras.
Animación tradicional en dos dimensiones.
""",
    "fr": """
Une jeune femme aux cheveux roux et au manteau gris
traverse un pont en poussant son vélo, s'arrête au milieu et regarde passer une péniche
Le pont de pierre enjambe une rivière bordée de platanes et de maisons à volets blancs.
La caméra la suit lentement vers la gauche.
La lumière est grise et douce, avec quelques reflets jaunes sur l'eau.
Il s'agit d'un film de fiction au format large.

Un boulanger aux bras couverts de farine
façonne six baguettes, les entaille avec une lame et les glisse dans le four
Le fournil est petit, avec des sacs empilés et une horloge au-dessus de la porte.
Plan fixe à hauteur de poitrine.
Éclairage au néon, et lueur orange à l'ouverture du four.
Reportage.

Un chamois
grimpe une pente rocheuse, fait tomber quelques pierres et s'immobilise sur une crête
Des sommets enneigés et une mer de nuages occupent le fond.
La caméra effectue un zoom avant sur l'animal.
Lumière rasante du soir, ombres bleues sur la neige.
Documentaire animalier filmé au téléobjectif.

Un curseur de souris
ouvre un dossier, sélectionne quatre photographies et les fait glisser vers une fenêtre de messagerie
Un bureau d'ordinateur avec une barre de tâches et un fond d'écran montrant une plage.
L'image est fixe.
Fenêtres claires sur un fond bleu.
Capture d'écran animée d'un tutoriel.
Envoyer  Annuler  Pièces jointes (4)
""",
    "de": """
Ein Feuerwehrmann mit gelbem Helm und dunkler Jacke
rollt einen Schlauch aus, kniet sich hin und richtet den Strahl auf ein brennendes Scheunendach
Die Scheune steht am Rand eines Dorfes, dahinter liegen abgeerntete Felder.
Die Kamera steht fest und zeigt die Szene in der Totalen.
Es dämmert, und das Feuer färbt den Rauch orange.
Die Aufnahme stammt aus einem Nachrichtenbeitrag.

Zwei Mechanikerinnen in blauen Overalls
heben einen Motorblock mit einem Kran aus einem Traktor und setzen ihn auf einem Holzgestell ab
In der Werkstatt hängen Schraubenschlüssel der Größe nach geordnet an der Wand.
Die Kamera schwenkt langsam nach rechts und folgt dem Motor.
Neonlicht von der Decke, kühle graue und blaue Töne.
Dokumentarische Aufnahme mit der Hand am Gerät.

Ein Eichhörnchen
gräbt eine Nuss aus dem Schnee, dreht sie zwischen den Pfoten und klettert damit kopfüber einen Stamm hinunter
Ein verschneiter Park mit einer leeren Bank.
Eine ruhige Nahaufnahme mit langer Brennweite.
Helles, weiches Licht ohne Schatten.
Tierfilm in Zeitlupe.

Eine Zugreisende mit Kopfhörern
schaut aus dem Fenster, schreibt etwas in ein Heft und schläft schließlich ein
Ein Großraumwagen mit roten Sitzen, draußen ziehen Hügel und Windräder vorbei.
Die Einstellung ist starr, aufgenommen vom Platz gegenüber.
Wechselndes Licht, mal Sonne, mal der Schatten von Brücken.
Spielfilm mit feinem Korn.
Nächster Halt: Fulda
""",
    "it": """
Un uomo anziano con il cappello di paglia
raccoglie le olive con un rastrello di plastica e le lascia cadere su una rete stesa a terra
L'uliveto si trova su una collina, con un paese di pietra in lontananza.
L'inquadratura è fissa e ampia.
Il sole del pomeriggio filtra tra i rami e illumina la polvere.
Ripresa documentaria dai colori naturali.

Una motocicletta rossa
percorre una strada a tornanti, si piega nella curva e sorpassa un autobus
Un passo di montagna con prati verdi e muretti di sasso.
Ripresa aerea che segue la moto verso sinistra.
Cielo sereno e luce intensa.
Spot pubblicitario.

Quattro bambine vestite da api
salgono su un palco di legno, si tengono per mano e fanno un inchino al pubblico
La sala di una scuola con festoni di carta e sedie pieghevoli.
La telecamera trema un poco e si trova in mezzo al pubblico.
Luce bianca e piatta, costumi gialli e neri.
Video di famiglia.

Un cuoco con la barba corta
stende la pasta della pizza, la fa girare in aria e la condisce con pomodoro e basilico
Un bancone di marmo davanti a un forno a legna acceso.
La camera si avvicina lentamente alle sue mani.
La fiamma dà una luce calda da destra.
Video di cucina girato in modo professionale.
Farina tipo 00
""",
    "pt": """
Uma vendedora de chapéu branco
corta um coco verde com três golpes de facão e entrega-o a um menino com uma palhinha
A praia está cheia de guarda-sóis, e dois morros fecham a baía ao fundo.
A câmera está parada, à altura do balcão.
Sol forte, mar azul e areia quase branca.
Gravação de viagem feita com celular.

Um grupo de capoeiristas vestidos de branco
forma uma roda, e dois deles trocam golpes baixos e saltos ao ritmo do berimbau
Uma praça calçada de pedras diante de uma igreja amarela.
A câmera gira em volta da roda.
A luz do fim da tarde deixa as fachadas douradas.
Documentário.

Um eléctrico amarelo
sobe a rua devagar, pára diante de um café e deixa sair duas turistas com mochilas
Uma rua estreita com azulejos nas paredes e roupa a secar nas janelas.
Plano fixo a partir do passeio.
Luz clara da manhã.
Imagens de reportagem.

Uma tartaruga desenhada em aguarela
nada por cima de um navio afundado e abre caminho entre um cardume de peixes prateados
O fundo do mar com algas altas e uma âncora coberta de ferrugem.
A imagem desloca-se lentamente para a direita.
Tons de azul e verde com manchas de luz.
Animação feita à mão.
""",
    "ru": """
Пожилая женщина в шерстяном платке
достаёт из печи противень с пирогами, переворачивает один из них и ставит остальные на стол
В деревенской кухне стоят деревянные лавки, а на окне растёт герань.
Камера неподвижна и установлена на уровне стола.
Тёплый свет падает из окна слева, преобладают коричневые тона.
Документальная съёмка.

Хоккеист в синей форме с номером девять
обводит защитника, замахивается и забрасывает шайбу в верхний угол ворот
Ледовая арена с заполненными трибунами и рекламой на бортах.
Камера следует за игроком вправо.
Яркий ровный свет прожекторов отражается ото льда.
Телевизионная трансляция.
2:1  ПЕРИОД 3

Поезд с зелёными вагонами
медленно проходит по железному мосту через широкую реку и скрывается в берёзовом лесу
На дальнем берегу видны низкие холмы и несколько изб.
Съёмка с воздуха, камера плавно отдаляется.
Пасмурный осенний день, жёлтые листья и серая вода.
Фильм о путешествии.

Нарисованный медвежонок с ведёрком
идёт по тропинке, спотыкается о корень и рассыпает малину, которую тут же собирают ежи
Сказочный лес с толстыми стволами и мухоморами.
Изображение медленно движется влево вместе с героем.
Мягкие краски, солнечные пятна на траве.
Рисованный мультфильм.
""",
    "zh": """
一位穿蓝色围裙的年轻师傅
把面团拉长、对折、再拉长，最后把细面条甩进沸水锅里
他站在一家小面馆的灶台后面，墙上贴着红色的菜单。
镜头固定，与灶台同高。
头顶的白炽灯发出暖黄色的光，锅里冒着白色的蒸汽。
手机拍摄的美食视频。
牛肉面 18元

两名穿黄色校服的男孩
在操场上打乒乓球，其中一人扣杀得分后举起双手
操场四周种着梧桐树，后面是一栋三层的教学楼。
镜头从左向右缓慢移动。
下午的阳光斜照，地面上有长长的影子。
纪录片风格的实拍画面。

一只大熊猫
坐在木架上啃竹子，换了一根之后翻身滑到草地上
圈养区里有石头、水池和低矮的竹林。
固定的中景镜头。
光线柔和，以绿色和黑白两色为主。
动物园里用长焦镜头拍摄的录像。

鼠标指针
点击菜单里的“导出”，选择文件夹，然后等待进度条走完
屏幕中央是一个剪辑软件的窗口，下方有多条时间线轨道。
画面静止，没有镜头运动。
深灰色界面，蓝色和紫色的素材条。
软件教程的屏幕录制。
导出  取消  抱歉，无法保存文件
""",
    "ja": """
紺色の浴衣を着た若い女性
が縁側に座り、うちわであおぎながら風鈴を見上げ、隣の猫の背中をなでる
古い木造の家の庭には、池と石灯籠がある。
カメラは固定されている。
夕方のやわらかい光が横から差し込み、全体に橙色がかっている。
映画のような実写映像。

白い帽子をかぶった寿司職人
が酢飯を握り、薄く切ったまぐろをのせて、木の台の上に二貫ずつ並べていく
カウンターの後ろには、ガラスのケースと湯のみの棚が見える。
手元を上から写した固定の接写。
明るい照明で、影は少ない。
料理番組の映像。
本日のおすすめ

短い銀色の髪の少年
が屋根の上を走り、向かいの塔へ跳び移って、肩のふくろうを空へ放つ
雲の上に浮かぶ町に、風車と赤い瓦の家が並んでいる。
カメラは少年を追って右へ動く。
朝日が強く、空は水色から桃色へ変わっている。
手描き風のアニメーション。
""",
    "ko": """
분홍색 한복을 입은 여자아이
가 널빤지 위에서 높이 뛰어오르고, 맞은편의 언니와 번갈아 웃으며 뛴다
기와집 마당에는 장독이 줄지어 있고 담장 너머로 산이 보인다.
카메라는 고정되어 있다.
맑은 날의 밝은 햇빛이 비치고 그림자가 뚜렷하다.
가족이 휴대전화로 찍은 영상이다.

검은 앞치마를 두른 요리사
가 철판 위에서 오징어와 채소를 볶다가 양념을 붓고 접시에 담는다
시장 골목의 작은 가게로, 뒤에 손님들이 줄을 서 있다.
카메라가 천천히 철판 쪽으로 다가간다.
노란 전구의 따뜻한 빛이 김을 비춘다.
음식을 소개하는 방송 화면이다.
오징어볶음 9,000원

파란색 전동차 한 대
가 강을 가로지르는 다리를 건너 아파트 단지 사이로 사라진다
넓은 강에는 유람선이 떠 있고 멀리 탑이 서 있다.
높은 곳에서 찍은 화면으로, 카메라가 왼쪽으로 움직인다.
해가 진 직후의 보랏빛 하늘과 도시의 불빛이 보인다.
드론으로 촬영한 도시 풍경이다.
""",
    "ar": """
رجل مسن يرتدي جلبابا أبيض وعمامة
يصب الشاي من إبريق نحاسي في أكواب صغيرة ثم يقدمها إلى الضيوف الجالسين حوله
يجلس الجميع على سجاد أحمر داخل خيمة، وتظهر الكثبان الرملية من خلال المدخل.
الكاميرا ثابتة على مستوى الأكواب.
ضوء دافئ يأتي من المدخل، والألوان حمراء وذهبية.
تصوير وثائقي.

طفلان يحملان حقائب مدرسية
يركضان على درج حجري ويتوقفان أمام بائع الخبز ثم يقتسمان رغيفا ساخنا
شارع ضيق في مدينة قديمة، وعلى الجانبين أبواب خشبية زرقاء.
تتحرك الكاميرا خلفهما ببطء إلى الأمام.
شمس الصباح تضيء الجزء العلوي من الجدران فقط.
فيديو مصور بالهاتف.

لاعب كرة قدم بقميص أخضر
يتجاوز مدافعين ويسدد الكرة بقدمه اليسرى في زاوية المرمى ثم يركض نحو الجمهور
ملعب ممتلئ بالمشجعين، وعلى الجوانب لوحات إعلانية.
تتابع الكاميرا اللاعب نحو اليمين.
أضواء كاشفة قوية والعشب أخضر لامع.
بث تلفزيوني لمباراة.
الدقيقة 78
""",
    "hi": """
लाल साड़ी पहने एक महिला
कुएँ से पानी खींचती है, पीतल का घड़ा भरती है और उसे सिर पर रखकर चल देती है
पीछे मिट्टी के घर, नीम का एक पेड़ और बँधी हुई दो भैंसें हैं।
कैमरा स्थिर है और दूर से पूरा आँगन दिखाता है।
सुबह की हल्की धूप है और रंग भूरे तथा लाल हैं।
यह एक वृत्तचित्र का दृश्य है।

नीली कमीज़ पहने एक लड़का
गली में क्रिकेट खेलता है, गेंद को ज़ोर से मारता है और दौड़ते हुए हँसता है
तंग गली के दोनों ओर दुकानें हैं और ऊपर बिजली के तार लटके हैं।
कैमरा गेंद के साथ दाईं ओर घूमता है।
दोपहर की तेज़ रोशनी और गहरी छायाएँ हैं।
मोबाइल फ़ोन से बनाया गया वीडियो।

एक हलवाई
कड़ाही में जलेबियाँ तलता है, उन्हें छलनी से निकालता है और चाशनी में डुबो देता है
बाज़ार की एक छोटी दुकान, जिसके सामने मिठाइयों की थालियाँ सजी हैं।
कैमरा धीरे-धीरे कड़ाही के पास जाता है।
पीले बल्ब की रोशनी में तेल और चाशनी चमकते हैं।
खाने के बारे में बना एक कार्यक्रम।
गरम जलेबी ₹40
""",
}


def good_captions() -> list[tuple[str, StructuredCaption]]:
    """Every caption with its language."""
    return [
        (language, StructuredCaption(*block.splitlines()))
        for language, blocks in BLOCKS.items()
        for block in blocks.strip().split("\n\n")
    ]
